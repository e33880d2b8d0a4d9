"""Whether an answer of the soak may differ by rounding: its random number lies where two tokens meet.

    borders = cumulative sums of softmax(log p_base + sum_i w_i r_i) over the next token, in float64
    u       = the random number of that position         a tie: |border - u| <= 1e-5 for one of them

The decoder works in float32, and what else is in the batch decides how it rounds: log-probabilities agree
within 1e-5. An answer of another request passes for a tie in a case or two of a hundred, as there are 261
borders, and a text leaves several positions open; so `faults.txt` has all that is known of the rounded ones,
too.
"""

import copy
from collections.abc import Sequence

import torch
from soak_requests import Told, Wanted
from toy_arms import TOKENS, as_peft_loads_it
from toy_server import ToyProject
from toys import toy_model
from transformers import PreTrainedTokenizerBase

from genarm.decoding import GuidedRequest
from genarm.decoding.sampling import random_stream

NEAR = 1e-5


class Ties:
    """The toys in float64."""

    def __init__(self, project: ToyProject, tokenizer: PreTrainedTokenizerBase) -> None:
        model, self._tokenizer = toy_model(), tokenizer
        self._models = {"": copy.deepcopy(model).double()} | {
            name: as_peft_loads_it(model, folder).double() for name, folder in project.folders.items()
        }

    def explain(self, got: Told, wanted: Wanted, kind: int) -> bool:
        """Whether `got` parts from what was wanted at a tie; `kind` is the version that gave it."""
        may_part = self.parting(got, wanted.told)
        return any(self.distance(wanted.request, wanted.told.ids, at, kind) <= NEAR for at in may_part)

    def parting(self, got: Told, wanted: Told) -> Sequence[int]:
        """The positions at which the first other token may stand: one where the ids were told.

        A text shows bytes that are no character as one sign, whichever they are, so it leaves several open.
        """
        if got.ids:
            first = _common(got.ids, wanted.ids)
            return [first] if first < len(wanted.ids) else []
        common = _common(got.text, wanted.text)
        told = len(wanted.text[:common].rstrip("\ufffd"))
        ends = [len(self._tokenizer.decode(wanted.ids[:i])) for i in range(len(wanted.ids) + 1)]
        return [i for i in range(len(wanted.ids)) if ends[i + 1] > told and ends[i] <= common + 1]

    @torch.no_grad()
    def distance(self, request: GuidedRequest, tokens: Sequence[int], at: int, kind: int) -> float:
        """How far the random number of the token at a position lies from the nearest border."""
        ids = torch.tensor([[*request.prompt, *tokens[:at]]])
        reads = {name: self._read(name, ids, kind) for name in ("", *request.used)}
        scores = reads[""] + sum(
            request.weights[name] * (reads[name] - (reads[""] if name in request.contrasted else 0))
            for name in request.used
        )
        chances = (scores / request.temperature).softmax(-1)
        near = []
        if request.top_p < 1:
            ranked, order = chances.sort(descending=True)
            reached = ranked.cumsum(-1)
            near.append((reached - request.top_p).abs().min())  # where the cut falls
            chances = chances.index_fill(0, order[1:][reached[:-1] >= request.top_p], 0)
        borders = chances.cumsum(-1) / chances.sum()
        near.append((borders - random_stream(request.seed, at + 1)[at, 2]).abs().min())
        return float(min(near))

    def _read(self, name: str, ids: torch.Tensor, kind: int) -> torch.Tensor:
        dimension = name.partition("@")[0]
        model = self._models[f"kind@{kind}" if dimension == "kind" else dimension]
        return model(ids).logits[0, -1, :TOKENS].log_softmax(-1)


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many elements they begin with together."""
    same = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in same if a != b), min(len(one), len(other)))
