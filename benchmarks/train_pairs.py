"""What every row of the training benchmark trains on: pairs drawn once, as text and as its ids; settings."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.data.formats import Refused, parse
from genarm.models.chat_template import assistant_turn, prompt_text
from genarm.training.tokens import TokenPair, encode
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RANK, ALPHA, BETA, LEARNING_RATE, SEED = 8, 16, 0.1, 5e-4, 0
CHUNK = 256  # pairs tokenised together


@dataclass(frozen=True, slots=True)
class Job:
    """One row's training, as it is handed to its process."""

    row: str
    pairs: str  # the file that `write` made
    model: str
    shape: str | None
    device: str
    dtype: str
    threads: int
    batch_pairs: int
    batch_tokens: int
    trl_pairs: int
    checkpointing: bool
    layers: int | None  # the uppermost that are adapted, None for all


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair as text after the chat template, for TRL, and as token ids, for ours."""

    prompt: str
    chosen: str
    rejected: str
    ids: TokenPair

    @property
    def tokens(self) -> int:
        """Its tokens, the prompt's once."""
        return len(self.ids.prompt) + len(self.ids.chosen) + len(self.ids.rejected)


def draw(
    files: Sequence[Path], tokenizer: "PreTrainedTokenizerBase", *, count: int, max_tokens: int, seed: int
) -> list[Pair]:
    """`count` pairs of at most so many tokens, drawn by seed; fewer where there are no more."""
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    random.Random(seed).shuffle(lines)
    return [*islice(_fitting(lines, tokenizer, max_tokens), count)]


def _fitting(lines: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_tokens: int) -> Iterator[Pair]:
    turn = assistant_turn(tokenizer)
    end = str(tokenizer.convert_ids_to_tokens(turn.end))
    for start in range(0, len(lines), CHUNK):
        rows = [*_parsed(lines[start : start + CHUNK])]
        for row, ids in zip(rows, encode(rows, tokenizer), strict=True):
            prompt = prompt_text(tokenizer, row.prompt.messages)
            pair = Pair(prompt, f"{turn.lead}{row.chosen}{end}", f"{turn.lead}{row.rejected}{end}", ids)
            if pair.tokens <= max_tokens and _read_alike(pair, tokenizer):
                yield pair


def _parsed(lines: Sequence[str]) -> Iterator[PreferencePair]:
    for line in lines:
        try:
            yield parse(json.loads(line))
        except Refused:
            continue


def _read_alike(pair: Pair, tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether one text of prompt and response has the ids that ours has, as TRL reads it."""
    return all(
        tokenizer(pair.prompt + text, add_special_tokens=False)["input_ids"] == [*pair.ids.prompt, *response]
        for text, response in ((pair.chosen, pair.ids.chosen), (pair.rejected, pair.ids.rejected))
    )


def write(file: Path, pairs: Sequence[Pair]) -> None:
    """Write drawn pairs as JSON lines."""
    file.write_text("".join(json.dumps(asdict(pair)) + "\n" for pair in pairs), encoding="utf-8")


def read(file: Path) -> list[Pair]:
    """Read the pairs that `write` wrote."""
    rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    return [Pair(**{**row, "ids": TokenPair(**row["ids"])}) for row in rows]
