"""What new data changes, pair by pair, against the version before; and in what it is worse than may be.

A pair is known by its prompt and its two responses, in any order. What is prompt and response follows from
the same reading as training's, so a row that is refused counts as none.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.config import DataConfig, Params
from genarm.data.pairs import DUPLICATE, PairsResult, PairStats, check_pairs, make_pairs
from genarm.errors import ConfigError, DataError
from genarm.system.files import write_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUARANTINE = ".cache/quarantine.jsonl"


@dataclass(frozen=True, slots=True)
class Change:
    """What came in for one dimension; two numbers are those before and now.

    `changed` pairs have the prompt of one that is gone, and other responses; they count neither as added nor
    as gone. `flipped` pairs prefer the other response now. Duplicates and refused are shares of the rows,
    lengths are mean tokens.
    """

    dimension: str
    rows: tuple[int, int]
    pairs: tuple[int, int]
    both: int
    added: int
    gone: int
    changed: int
    flipped: int
    duplicates: tuple[float, float]
    refused: tuple[float, float]
    prompt: tuple[float, float]
    chosen: tuple[float, float]
    rejected: tuple[float, float]

    def row(self) -> dict[str, str | int]:
        """A row of a table for people."""
        lengths = {
            f"{name} tokens": f"{before:g} -> {now:g}"
            for name, (before, now) in (
                ("prompt", self.prompt),
                ("chosen", self.chosen),
                ("rejected", self.rejected),
            )
        }
        return {
            "dimension": self.dimension,
            "pairs": f"{self.pairs[0]} -> {self.pairs[1]}",
            "added": self.added,
            "gone": self.gone,
            "changed": self.changed,
            "flipped": self.flipped,
            "duplicates": f"{self.duplicates[0]:.1%} -> {self.duplicates[1]:.1%}",
            "refused": f"{self.refused[0]:.1%} -> {self.refused[1]:.1%}",
            **lengths,
        }

    def worse(self, limits: DataConfig) -> list[str]:
        """Every limit that is broken, with the number and the parameter; empty where the data may come in."""
        name, told = self.dimension, list[str]()
        lost, before = self.gone, self.pairs[0]
        if lost > limits.max_lost * before:
            told.append(
                f"{name}: {lost} of {before} pairs are gone ({lost / before:.1%}), "
                f"data.max_lost is {limits.max_lost:.1%}"
            )
        known = self.both
        if self.flipped > limits.max_flipped * known:
            told.append(
                f"{name}: {self.flipped} of {known} known pairs prefer the other response now "
                f"({self.flipped / known:.1%}), data.max_flipped is {limits.max_flipped:.1%}"
            )
        for what, limit, (then, now) in (
            ("duplicates", "max_duplicates", self.duplicates),
            ("refused rows", "max_refused_rise", self.refused),
        ):
            most = getattr(limits, limit)
            if now - then > most + 1e-9:  # a share of 0.3 - 0.1 is no more than 0.2
                told.append(
                    f"{name}: {what} rose from {then:.1%} to {now:.1%} of the rows, "
                    f"by more than data.{limit} = {most:.1%}"
                )
        for what in ("prompt", "chosen", "rejected"):
            then, now = getattr(self, what)
            if min(then, now) and max(then / now, now / then) > limits.max_drift + 1e-9:
                told.append(
                    f"{name}: {what} has {now:g} tokens in the mean, before {then:g}: "
                    f"more than data.max_drift = {limits.max_drift:g} times"
                )
        return told


def read(data: Path, params: Params, tokenizer: "PreTrainedTokenizerBase") -> dict[str, PairsResult]:
    """What every dimension makes of a folder, as the stage `pairs` would."""
    return {
        name: make_pairs(data, name, config.data, params.pairs, tokenizer)
        for name, config in params.dimensions.items()
    }


def check(results: Mapping[str, PairsResult], root: Path) -> None:
    """Raise DataError where a dimension finds too little; the quarantine names every refused row."""
    write_rows(root / QUARANTINE, (row for result in results.values() for row in result.refused))
    for result in results.values():
        check_pairs(result, f"{QUARANTINE} names every row")


def read_before(
    data: Path, params: Params, tokenizer: "PreTrainedTokenizerBase"
) -> tuple[dict[str, PairsResult], list[str]]:
    """The same of the version before, of each dimension that can be read, and why others cannot."""
    found: dict[str, PairsResult] = {}
    unread: list[str] = []
    for name, config in params.dimensions.items():
        try:
            found[name] = make_pairs(data, name, config.data, params.pairs, tokenizer)
        except (DataError, ConfigError) as error:
            unread.append(f"{name}: not compared with the version before: {error.message}")
    return found, unread


def compare(before: PairsResult, now: PairsResult) -> Change:
    """What is added, gone, changed and flipped, and how lengths, duplicates and refusals moved."""
    old, new = dict(_sides(before)), dict(_sides(now))
    gone, added = old.keys() - new.keys(), new.keys() - old.keys()
    both = old.keys() & new.keys()
    of_gone, of_added = (Counter(prompt for prompt, _ in keys) for keys in (gone, added))
    changed = (of_gone & of_added).total()
    then, here = before.stats, now.stats
    return Change(
        dimension=now.dimension,
        rows=(then.rows, here.rows),
        pairs=(len(old), len(new)),
        both=len(both),
        added=len(added) - changed,
        gone=len(gone) - changed,
        changed=changed,
        flipped=sum(old[key] != new[key] for key in both),
        duplicates=(_duplicates(then), _duplicates(here)),
        refused=(then.refused_share, here.refused_share),
        prompt=(then.prompt.mean, here.prompt.mean),
        chosen=(then.chosen.mean, here.chosen.mean),
        rejected=(then.rejected.mean, here.rejected.mean),
    )


def _sides(result: PairsResult) -> Iterator[tuple[tuple[str, bytes], bytes]]:
    """Of every pair: its prompt with a hash of both responses, and a hash of the chosen one."""
    for pairs in result.splits.values():
        for pair in pairs:
            both = "\0".join(sorted((pair.chosen, pair.rejected)))
            yield (pair.prompt.id, _hash(both)), _hash(pair.chosen)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _duplicates(stats: PairStats) -> float:
    return stats.refused.get(DUPLICATE, 0) / stats.rows if stats.rows else 0.0
