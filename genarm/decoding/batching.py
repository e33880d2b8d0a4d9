"""The token loop: requests in batches, one draw a step for all, finished rows dropped along the way.

score    base and ARMs read the newest tokens                      log-probabilities
guide    combine them                                              scores [b, v]
draw     one token a request from its own random stream            tokens [b]
finish   end token, stop string or length; compact the batch once a quarter of it is done
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.decoding.guidance import (
    Generation,
    Group,
    GuidedRequest,
    check_servable,
    combine,
    divergence,
    draw,
    random_stream,
    survivors,
)
from genarm.errors import ModelError


class Scores(NamedTuple):
    """Log-probabilities of the next token: base [b, v], and [m, v] for each ARM in use."""

    base: Tensor
    arms: Sequence[Tensor]


class Scorer(Protocol):
    """A batch on its way through base and ARMs."""

    def feed(self, ids: Tensor) -> Scores:
        """Read the next tokens of every request, ids [b, q]."""

    def keep(self, alive: Tensor, groups: Sequence[Group]) -> None:
        """Go on with these requests only, alive [a]; `groups` already speaks of those."""


Start = Callable[[Sequence[Group], Tensor, int], Scorer]  # ARMs in use, real prompt tokens [b, s], capacity


class Ending:
    """Where a response ends, and the text up to there."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
        self.tokenizer = tokenizer
        ends: set[int] = set()
        for said in (model.generation_config, model.config.get_text_config(), tokenizer):
            ids = getattr(said, "eos_token_id", None)
            ends.update(ids if isinstance(ids, (list, tuple)) else () if ids is None else (ids,))
        self.ids = torch.tensor(sorted(ends), dtype=torch.long, device=model.device)

    def text(self, tokens: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def cut(self, tokens: Sequence[int], stop: Sequence[str]) -> str | None:
        """The text before the earliest stop string; None where the last token completed none."""
        # A token is at least a byte, so a stop string that ends now starts among the last few tokens.
        window = max(len(s.encode()) for s in stop) + 8
        tail = self.text(tokens[-window:])
        if not any(s in tail for s in stop):
            return None
        text = self.text(tokens)
        found = [place for s in stop if (place := text.find(s)) >= 0]
        return text[: min(found)] if found else None


class Batch:
    """The state of the requests in flight: entry i of every tensor belongs to the same request."""

    def __init__(self, requests: Sequence[GuidedRequest], arms: Sequence[str], device: torch.device) -> None:
        def column(values: Sequence[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        self.requests = list(requests)
        self.numbers = torch.arange(len(requests), device=device)  # place of each in the chunk
        self.temperature = column([r.temperature for r in requests], torch.float32)
        self.top_k = column([r.top_k for r in requests], torch.long)
        self.top_p = column([r.top_p for r in requests], torch.float32)
        self.limit = column([r.max_new_tokens for r in requests], torch.long)
        longest = max(r.max_new_tokens for r in requests)
        self.noise = torch.zeros(len(requests), longest, dtype=torch.float64, device=device)
        for row, request in zip(self.noise, requests, strict=True):
            row[: request.max_new_tokens] = random_stream(request.seed, request.max_new_tokens)
        self.tokens = torch.zeros(len(requests), longest, dtype=torch.long, device=device)
        self.base_logprob = torch.zeros(len(requests), dtype=torch.float64, device=device)
        self.kl = torch.zeros_like(self.base_logprob)
        self.running = torch.ones(len(requests), dtype=torch.bool, device=device)
        self.guided = column([any(w > 0 for w in r.weights.values()) for r in requests], torch.bool)
        self.groups = [
            Group(arm, column(owner, torch.long), column([r.weights[arm] for r in users], torch.float32))
            for arm in arms
            if (owner := [i for i, r in enumerate(requests) if r.weights.get(arm, 0) > 0])
            for users in [[requests[i] for i in owner]]
        ]

    def prompts(self) -> tuple[Tensor, Tensor]:
        """Left-padded prompts and which of their tokens are real, both [b, s]."""
        width = max(len(r.prompt) for r in self.requests)
        ids = torch.zeros(len(self.requests), width, dtype=torch.long)
        real = torch.zeros_like(ids, dtype=torch.bool)
        for i, request in enumerate(self.requests):
            ids[i, width - len(request.prompt) :] = torch.tensor(request.prompt)
            real[i, width - len(request.prompt) :] = True
        return ids.to(self.tokens.device), real.to(self.tokens.device)

    def keep(self, alive: Tensor) -> None:
        """Go on with the requests `alive` [a] only."""
        b = len(self.requests)
        self.groups = [
            Group(group.arm, owner, group.weights[rows])
            for group in self.groups
            for rows, owner in [survivors(group.owner, alive, b)]
        ]
        self.requests = [self.requests[i] for i in alive.tolist()]
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor):
                setattr(self, name, value[alive])


@torch.inference_mode()
def serve(
    start: Start,
    requests: Sequence[GuidedRequest],
    ending: Ending,
    *,
    arms: Sequence[str],
    context: int,
    vocab: int,
    batch_size: int,
    on_tokens: Callable[[int], None] | None,
) -> list[Generation]:
    """Answer all requests, those with prompts of like length together, and return them in the order given."""
    check_servable(requests, arms, context, vocab)
    order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt))
    answers: dict[int, Generation] = {}
    for first in range(0, len(order), batch_size):
        chunk = order[first : first + batch_size]
        batch = Batch([requests[i] for i in chunk], arms, ending.ids.device)
        for number, answer in _decode(start, batch, ending, on_tokens).items():
            answers[chunk[number]] = answer
    return [answers[i] for i in range(len(requests))]


def _decode(
    start: Start, batch: Batch, ending: Ending, on_tokens: Callable[[int], None] | None
) -> Mapping[int, Generation]:
    ids, real = batch.prompts()
    scorer = start(batch.groups, real, ids.shape[1] + int(batch.limit.max()))
    answers: dict[int, Generation] = {}
    for step in range(int(batch.limit.max())):
        base, arms = scorer.feed(ids)
        scores = combine(base, arms, batch.groups)
        token = draw(scores, batch.temperature, batch.top_k, batch.top_p, batch.noise[:, step])
        token.clamp_(max=scores.shape[-1] - 1)  # scores that are no numbers; told when the row ends
        batch.tokens[:, step] = token
        batch.base_logprob += base.gather(-1, token[:, None])[:, 0]
        if batch.groups:
            batch.kl += divergence(scores, base) * batch.guided  # 0 where nothing guides, without rounding
        if on_tokens:
            on_tokens(int(batch.running.sum()))
        ended = torch.isin(token, ending.ids)
        finished = batch.running & (ended | (batch.limit == step + 1))
        texts = _stop_strings(batch, ending, step)
        finished[list(texts)] = True
        if bool(finished.any()):
            for i in finished.nonzero().flatten().tolist():
                answer = _answer(batch, i, step, bool(ended[i]), texts.get(i), ending)
                answers[int(batch.numbers[i])] = answer
            batch.running &= ~finished
            alive = batch.running.nonzero().flatten()
            if not len(alive):
                break
            if 4 * (len(token) - len(alive)) >= len(token):
                batch.keep(alive)
                scorer.keep(alive, batch.groups)
                token = token[alive]
        ids = token[:, None]
    return answers


def _stop_strings(batch: Batch, ending: Ending, step: int) -> dict[int, str]:
    """The text of each running request whose last token completed one of its stop strings."""
    texts = {}
    for i, request in enumerate(batch.requests):
        if request.stop and bool(batch.running[i]):
            text = ending.cut(batch.tokens[i, : step + 1].tolist(), request.stop)
            if text is not None:
                texts[i] = text
    return texts


def _answer(batch: Batch, i: int, step: int, ended: bool, text: str | None, ending: Ending) -> Generation:
    tokens = tuple(batch.tokens[i, : step + 1].tolist())
    base_logprob, kl = float(batch.base_logprob[i]), float(batch.kl[i]) / (step + 1)
    if not (isfinite(base_logprob) and isfinite(kl)):
        raise ModelError(
            f"the model's scores are no numbers: after {step + 1} tokens the base log-probability is "
            f"{base_logprob}, the KL to the base {kl}",
            hint="decode in another dtype, or check the weights of base and ARMs",
        )
    reason: Literal["stop", "length"] = "stop" if ended or text is not None else "length"
    if text is None:
        text = ending.text(tokens[:-1] if ended else tokens)
    return Generation(tokens, text, reason, base_logprob, kl)
