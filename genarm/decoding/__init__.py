"""Guided decoding: `load_decoder` gives a decoder for a base model and its ARMs, by name."""

from genarm.decoding.load import load_decoder
from genarm.decoding.protocol import GuidedDecoder, Session, Stream
from genarm.decoding.request import GuidedRequest, GuidedResponse, Piece, TokenRewards

__all__ = [
    "GuidedDecoder", "GuidedRequest", "GuidedResponse", "Piece", "Session", "Stream", "TokenRewards",
    "load_decoder",
]  # fmt: skip
