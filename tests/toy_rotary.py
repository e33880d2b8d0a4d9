"""Toys whose rotary embedding is scaled: alike for all lengths, or otherwise beyond some."""

from pathlib import Path

from toy_arms import family_model
from toys import byte_tokenizer

SWITCH, CONTEXT = 32, 64
HALF = 4  # of a head's width
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * HALF,
    "long_factor": [4.0] * HALF,
    "original_max_position_embeddings": SWITCH,
}
SCALED = {  # of a Llama
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "linear": {"rope_type": "linear", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": SWITCH},
    "llama3": {
        "rope_type": "llama3",
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": SWITCH,
    },
}
KINDS = ["longrope", *SCALED]


def rotary_model(kind: str, folder: Path, **longrope: object):
    """A model of this kind, saved; `longrope` are other settings of that one."""
    if kind != "longrope":
        rope = SCALED[kind] | {"rope_theta": 10000.0}
        return family_model(
            "llama", folder, byte_tokenizer(), max_position_embeddings=CONTEXT, rope_parameters=rope
        )
    return family_model(
        "phi3",
        folder,
        byte_tokenizer(),
        max_position_embeddings=CONTEXT,
        original_max_position_embeddings=SWITCH,
        rope_parameters=LONGROPE | {"rope_theta": 10000.0} | longrope,
    )
