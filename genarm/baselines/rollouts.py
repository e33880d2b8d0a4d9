"""What is scored of a candidate token: the token, or the token and how an aligned model goes on after it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genarm.baselines.follower import Follower, Following
from genarm.errors import ModelError


class Continuations(NamedTuple):
    """k continuations of m texts."""

    ids: Tensor  # [m, k, q]
    lengths: Tensor  # [m, k] how many of the q are tokens of it
    ended: Tensor  # [m, k] whether the last of them ends the response


def alone(candidates: Tensor, ends: Tensor, ignore_ends: Tensor) -> Continuations:
    """Each candidate [m, k] as a continuation of a token; `ignore_ends` [m] says where none ends the text."""
    ended = torch.isin(candidates, ends) & ~ignore_ends[:, None]
    return Continuations(candidates[..., None], torch.ones_like(candidates), ended)


class Rollouts:
    """An aligned model that goes on after each candidate by its likeliest tokens, `length` at most.

    A candidate is read at the cost of a token and each further token of a rollout but the last at another, so
    k rollouts of L tokens cost k * L.
    """

    def __init__(self, follower: Follower, length: int) -> None:
        self.follower, self.length = follower, length

    def fault(self, request: str) -> ModelError:
        """The error for a request for which the aligned model's logits are no numbers."""
        trunk = self.follower.part.trunk
        why, way_out = trunk.fault
        dtype = str(trunk.dtype).removeprefix("torch.")
        return ModelError(
            f"{request}: the logits of the aligned model are not numbers in {dtype}: {why}", hint=way_out
        )

    def extend(
        self, given: Continuations, following: Following, ends: Tensor, ignore_ends: Tensor
    ) -> tuple[Continuations, Tensor]:
        """The same continuations with their rollouts, which stop after an end token where none is ignored.

        Beside them the best logit of every text [m], which is no finite number where the model's are none.
        """
        ids, lengths, ended = given
        best = torch.zeros(len(ids), device=ids.device)
        for _ in range(self.length):
            if bool(ended.all()):
                break
            logits = following.read(ids[..., -1:], (~ended).long())[
                :, :, -1, : self.follower.part.trunk.vocab
            ]
            top, token = (found.to(ids.device) for found in logits.max(-1))
            best = torch.where(ended, 0, top).sum(-1) + best
            ids = torch.cat((ids, token[..., None]), -1)
            lengths = lengths + (~ended).long()
            ended = ended | (torch.isin(token, ends) & ~ignore_ends[:, None])
        return Continuations(ids, lengths, ended), best


def closed(given: Continuations, ending: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Ids [m, k, q] and lengths [m, k] with the tokens that close the turn, in place of an end token."""
    ids, lengths, ended = given
    if not ending:
        return ids, lengths
    start = lengths - ended.long()
    wide = torch.nn.functional.pad(ids, (0, len(ending)))
    place = start[..., None] + torch.arange(len(ending), device=ids.device)
    tail = torch.tensor(list(ending), device=ids.device).expand(place.shape)
    return wide.scatter(-1, place, tail), start + len(ending)
