"""What models say of responses that are there: their tokens are read in a few passes, none is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.engine.engine import Engine
from genarm.decoding.runner.ensemble import Ensemble, EnsembleLogits, Part, Reader, Start, assemble

Tokens = Sequence[int]
LOGITS = 2**25  # of one model that are held at a time: 128 MiB in float32


@dataclass(frozen=True, slots=True)
class TokenReading:
    """The tokens of one response, each after those before it: all [t] in nats, at temperature 1."""

    arm: np.ndarray  # log p_arm
    base: np.ndarray | None = None  # log p_base
    start: np.ndarray | None = None  # log p_start
    kl: np.ndarray | None = None  # KL(arm || base)


def read_responses(
    engine: Engine,
    arm: str,
    prompts: Sequence[Tokens],
    responses: Sequence[Tokens],
    *,
    base: bool = False,
    start: bool = False,
) -> list[TokenReading]:
    """The readings of responses to prompts by an ARM, and by the base or the ARM's start where asked.

    Responses to one prompt share it, as many at a time as the engine has slots: it is read once for them.
    What is read counts in `engine.passes`.
    """
    readers: frozenset[Reader] = frozenset({arm, Start(arm)} if start else {arm})
    parts = _parts(engine.parts, readers, base)
    found: dict[int, TokenReading] = {}
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), tuple(prompts[i]), i))
    with torch.inference_mode():
        for first in range(0, len(order), engine.slots):
            chunk = order[first : first + engine.slots]
            asked = [prompts[i] for i in chunk], [responses[i] for i in chunk]
            found |= zip(chunk, _read(engine, parts, readers, arm, *asked), strict=True)
    return [found[i] for i in range(len(prompts))]


def _parts(parts: Sequence[Part], readers: frozenset[Reader], base: bool) -> list[Part]:
    """The parts that are asked; the base's own rows are read only where they are."""
    asked = (replace(part, base=part.base and base, draft=False) for part in parts)
    return [part for part in asked if part.base or readers & part.readers.keys()]


def _read(
    engine: Engine,
    parts: Sequence[Part],
    readers: frozenset[Reader],
    arm: str,
    prompts: Sequence[Tokens],
    responses: Sequence[Tokens],
) -> list[TokenReading]:
    ensemble = _after_prompts(parts, readers, prompts, max(map(len, responses)))
    # The last token of the prompt predicts the first of the response; padded on the left with real tokens.
    read = [[prompt[-1], *tokens[:-1]] for prompt, tokens in zip(prompts, responses, strict=True)]
    counts = np.array([len(row) for row in read])
    widest = int(counts.max())
    ids, targets = (np.zeros((len(read), widest), dtype=np.int64) for _ in range(2))
    for i, (row, tokens) in enumerate(zip(read, responses, strict=True)):
        ids[i] = row[0]
        ids[i, widest - len(row) :], targets[i, widest - len(row) :] = row, tokens
    columns = max(1, LOGITS // (len(read) * engine.vocab))
    kept: dict[str, list[Tensor]] = {"arm": [], "base": [], "start": [], "kl": []}
    for first in range(0, widest, columns):
        stop = min(first + columns, widest)
        real = np.clip(counts - (widest - stop), 0, stop - first)
        fed = torch.from_numpy(ids[:, first:stop])
        logits = ensemble.feed(fed, parts, counts=real, head=slice(None))
        for name, values in _measured(logits, arm, torch.from_numpy(targets[:, first:stop])).items():
            kept[name].append(values.cpu())
    host = {name: torch.cat(values, -1).numpy() for name, values in kept.items() if values}
    return [
        TokenReading(**{name: values[i, widest - n :] for name, values in host.items()})
        for i, n in enumerate(counts)
    ]


def _after_prompts(
    parts: Sequence[Part], readers: frozenset[Reader], prompts: Sequence[Tokens], tokens: int
) -> Ensemble:
    """All but the last token of every prompt has been read, a slot each; equal prompts are read once."""
    slot_of: dict[tuple[int, ...], int] = {}
    slots = [slot_of.setdefault(tuple(prompt[:-1]), len(slot_of)) for prompt in prompts]
    capacity = max(map(len, slot_of)) + tokens
    once = Ensemble(parts, [readers] * len(slot_of), capacity)
    once.prefill(list(slot_of))
    if len(slot_of) == len(prompts):
        return once
    return assemble(parts, [(once, slots)], [readers] * len(prompts), capacity)


def _measured(logits: EnsembleLogits, arm: str, targets: Tensor) -> dict[str, Tensor]:
    """The values of `TokenReading` for a few columns, all [n, q] in float64; targets [n, q]."""
    of_arm = logits.readers[arm][1]
    device = of_arm.device
    index = targets.to(device)[..., None]

    def of(scores: Tensor) -> Tensor:
        return scores.to(device).float().log_softmax(-1)

    def drawn(logprobs: Tensor) -> Tensor:
        return logprobs.gather(-1, index)[..., 0].double()

    logprobs = of(of_arm)
    found = {"arm": drawn(logprobs)}
    if logits.base is not None:
        base = of(logits.base)
        found |= {"base": drawn(base), "kl": _kl(logprobs, base)}
    if (start := logits.readers.get(Start(arm))) is not None:
        found["start"] = drawn(of(start[1]))
    return found


def _kl(of: Tensor, to: Tensor) -> Tensor:
    """KL of two distributions by their log-probabilities [..., v]; a token that `of` rules out adds none."""
    gap = torch.where(of == -torch.inf, 0, of - to)
    return (of.exp() * gap).sum(-1).double().clamp(min=0)
