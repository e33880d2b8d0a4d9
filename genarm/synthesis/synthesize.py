"""Prompts to preference pairs: the base model answers each prompt several times, and scorers rank them.

This is AI feedback with a scorer as the annotator; it makes the embedded default's data in `seed/`.

sample   `samples` responses to each prompt from the base model, without ARMs  one random stream each
trim     end a response that the length limit cut at its last whole sentence
drop     responses that are then too short, repeat themselves, or equal another one
pair     two responses whose scores lie at least the dimension's gap apart     up to samples (samples - 1) / 2
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genarm.decoding import GuidedDecoder, GuidedRequest
from genarm.evaluation.respond import prompt_seed
from genarm.evaluation.text_health import repetition
from genarm.judges import Scorer, rate
from genarm.models import render
from genarm.types import PreferencePair, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NO_END = (
    r"(?<!\b\d)(?<!\b\d\d)(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMrs)(?<!\b[ie]\.[ge])"  # "1.", "Dr."
)
_SENTENCE_END = re.compile(_NO_END + r"[.!?…]+[\"'”’)*]*(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Settings:
    """How the seed is made. `gaps` holds each dimension, which is a scorer's name, and its least gap."""

    samples: int = 4
    temperature: float = 0.7  # at 1.0 the embedded model, being small, becomes incoherent
    top_p: float = 0.95
    max_new_tokens: int = 96
    seed: int = 1  # sample k of a prompt draws with seed + k
    min_words: int = 8
    max_repetition: float = 0.05  # share of 4-grams of words seen before in the response
    # Distances that a word or two decides are left out: of `plain` the lowest three tenths; of `positive` the
    # lower two thirds, since its ARM learned little from pairs closer than that (docs/training.md).
    gaps: Mapping[str, float] = field(default_factory=lambda: {"positive": 0.5, "plain": 7.0})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response that may become part of pairs, with its score on every dimension."""

    prompt: Prompt
    text: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What was made from the prompts: `drawn` responses, candidates among them, and pairs by dimension."""

    prompts: int
    drawn: int
    candidates: Sequence[Candidate]
    pairs: Mapping[str, Sequence[PreferencePair]]


def synthesize(
    prompts: Sequence[Prompt],
    decoder: GuidedDecoder,
    tokenizer: "PreTrainedTokenizerBase",
    scorers: Mapping[str, Scorer],
    settings: Settings,
    on_tokens: Callable[[int], None] | None = None,
) -> Synthesis:
    """Sample, trim, drop, score and pair, in the order of the prompts. Raises JudgeError for a bad score."""
    requests = [
        GuidedRequest(
            prompt=tuple(render(tokenizer, prompt.messages)),
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
            seed=prompt_seed(settings.seed + k, prompt),
        )
        for prompt in prompts
        for k in range(settings.samples)
    ]
    answers = decoder.generate(requests, on_tokens)
    candidates: list[Candidate] = []
    for i, prompt in enumerate(prompts):
        samples = answers[i * settings.samples : (i + 1) * settings.samples]
        texts = [whole_sentences(a.text, cut=a.finish_reason == "length") for a in samples]
        for text in dict.fromkeys(t for t in texts if _is_usable(t, settings)):
            scores = {d: rate(score, text, prompt.id) for d, score in scorers.items()}
            candidates.append(Candidate(prompt, text, scores))
    pairs = {d: pair_up(candidates, d, settings.gaps[d]) for d in scorers}
    return Synthesis(len(prompts), len(answers), candidates, pairs)


def whole_sentences(text: str, *, cut: bool) -> str:
    """The response without white space around it and, if it was `cut`, without its unfinished last sentence.

    ARMs are trained on whole responses: one that stops in mid-sentence would teach an ARM to stop there.
    """
    if not cut:
        return text.strip()
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]].strip() if ends else ""


def pair_up(candidates: Sequence[Candidate], dimension: str, gap: float) -> list[PreferencePair]:
    """Every two responses to one prompt whose scores lie at least `gap` apart; the higher one is chosen."""
    pairs = []
    for prompt, group in itertools.groupby(candidates, key=lambda c: c.prompt):
        for one, other in itertools.combinations(group, 2):
            better, worse = sorted((one, other), key=lambda c: c.scores[dimension], reverse=True)
            distance = better.scores[dimension] - worse.scores[dimension]
            if distance > 0 and distance >= gap:
                pairs.append(PreferencePair(prompt, better.text, worse.text))
    return pairs


def _is_usable(text: str, settings: Settings) -> bool:
    return len(text.split()) >= settings.min_words and repetition(text) <= settings.max_repetition
