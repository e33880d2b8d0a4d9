"""Preference data to pairs: validated, without duplicates, split by prompt, counted in tokens.

A row is taken whole or refused with a reason; nothing is repaired or cut. A prompt's split follows from its
text and the seed alone, so it is the same in every dimension and does not change as data grows.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from genarm.config import PairsConfig, SourceConfig
from genarm.data.formats import Refused, parse
from genarm.data.lengths import Lengths, TokenStats, longer_is_chosen, token_lengths, token_stats
from genarm.data.rows import RawRow, find_files, read_file
from genarm.errors import DataError
from genarm.system.files import write_json, write_rows
from genarm.system.layout import Layout
from genarm.types import PreferencePair, Prompt, Split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPLITS: tuple[Split, ...] = ("train", "validation", "evaluation")
BATCH = 1000  # rows tokenised together
DUPLICATE = "duplicate"
Measured = tuple[PreferencePair, Lengths]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row in quarantine. Its text is left out: the hash of the line finds the row again."""

    dimension: str
    file: str
    row: int  # from 1
    reason: str
    detail: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SplitStats:
    """The size of one split, and how often its chosen response is the longer one."""

    pairs: int
    prompts: int
    longer_is_chosen: float


@dataclass(frozen=True, slots=True)
class PairStats:
    """What became of the rows of one dimension. Responses are counted with their end token."""

    rows: int
    pairs: int
    refused: Mapping[str, int]  # reason -> rows, the most frequent first
    refused_share: float  # of all rows; duplicates do no harm and are not counted
    prompt: TokenStats
    chosen: TokenStats
    rejected: TokenStats
    splits: Mapping[Split, SplitStats]


@dataclass(frozen=True, slots=True)
class PairsResult:
    """The pairs of one dimension by split, and everything that did not become one."""

    dimension: str
    splits: Mapping[Split, Sequence[PreferencePair]]
    refused: Sequence[RefusedRow]
    stats: PairStats
    max_refused: float


def make_pairs(
    data: Path,
    dimension: str,
    source: SourceConfig,
    config: PairsConfig,
    tokenizer: "PreTrainedTokenizerBase",
) -> PairsResult:
    """Every row of a source as a pair of a split, or refused.

    Raises DataError where no file matches or a file cannot be read to its end, ConfigError where the source
    is not described well enough. `check_pairs` decides whether enough rows are left.
    """
    kept: list[Measured] = []
    refused: list[RefusedRow] = []
    count = 0

    def refuse(row: RawRow, why: Refused) -> None:
        refused.append(RefusedRow(dimension, row.file, row.number, why.reason, why.detail, row.sha256))

    def parsed() -> Iterator[tuple[RawRow, PreferencePair]]:
        nonlocal count
        first: dict[bytes, tuple[RawRow, str]] = {}
        for row in _rows(data, dimension, source.files):
            count += 1
            try:
                if isinstance(row.value, Refused):
                    raise row.value
                pair = parse(row.value, source.format, source.preferred)
                _only_once(row, pair, first)
            except Refused as why:
                refuse(row, why)
            else:
                yield row, pair

    rows = parsed()
    while batch := list(islice(rows, BATCH)):
        measured = token_lengths([pair for _, pair in batch], tokenizer)
        for (row, pair), lengths in zip(batch, measured, strict=True):
            if isinstance(lengths, Refused):
                refuse(row, lengths)
            elif (longest := max(lengths.chosen, lengths.rejected)) + lengths.prompt > config.max_tokens:
                detail = f"prompt {lengths.prompt} + response {longest}"
                refuse(row, Refused(f"longer than {config.max_tokens} tokens", detail))
            else:
                kept.append((pair, lengths))
    refused.sort(key=lambda r: (r.file, r.row))
    log.info("%s: %d rows, %d pairs, %d refused", dimension, count, len(kept), len(refused))
    return _result(dimension, count, kept, refused, config)


def split_of(prompt: Prompt, config: PairsConfig) -> Split:
    """The split of a prompt: a number in [0, 1) drawn from the seed and its id, against the shares."""
    digest = hashlib.sha256(f"{config.seed}:{prompt.id}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < config.evaluation:
        return "evaluation"
    return "validation" if draw < config.evaluation + config.validation else "train"


def write_pairs(layout: Layout, results: Mapping[str, PairsResult]) -> None:
    """Write artifacts/pairs: quarantine and statistics first and, if the data suffices, splits and prompts.

    The same results give the same bytes. Raises what `check_pairs` raises.
    """
    write_rows(layout.quarantine, (row for result in results.values() for row in result.refused))
    write_json(layout.pairs_stats, {d: result.stats for d, result in results.items()})
    for result in results.values():
        check_pairs(result, f"{layout.quarantine.relative_to(layout.root)} names every row")
    for dimension, result in results.items():
        for split in SPLITS:
            write_rows(layout.pairs(dimension, split), result.splits[split])
    # An id is a hash: in its order, the first n prompts are a fair sample of all.
    prompts = {p.prompt.id: p.prompt for r in results.values() for p in r.splits["evaluation"]}
    write_rows(layout.prompts, ({"id": i, "messages": prompts[i].messages} for i in sorted(prompts)))


def check_pairs(result: PairsResult, where: str) -> None:
    """Raise DataError where too many rows were refused or a split is empty; `where` says how to find them."""
    stats, name = result.stats, result.dimension
    reasons = ", ".join(f"{reason} ({n})" for reason, n in list(stats.refused.items())[:3])
    if stats.refused_share > result.max_refused:
        raise DataError(
            f"{stats.refused_share:.1%} of the {stats.rows} rows of {name!r} were refused, "
            f"more than the {result.max_refused:.1%} allowed: {reasons}",
            hint=f"{where}; correct the data or its entry in params.yaml, or raise pairs.max_refused",
        )
    for split in SPLITS:
        if not result.splits[split]:
            sizes = ", ".join(f"{s} {stats.splits[s].prompts}" for s in SPLITS)
            knob = (
                "lower pairs.validation or pairs.evaluation" if split == "train" else f"raise pairs.{split}"
            )
            raise DataError(
                f"{name!r} has no {split} pairs; rows {stats.rows}, refused {len(result.refused)}, "
                f"prompts: {sizes}",
                hint=f"add data with other prompts, or {knob}",
            )


def _only_once(row: RawRow, pair: PreferencePair, first: dict[bytes, tuple[RawRow, str]]) -> None:
    """Refuse a pair seen before, with its responses in this order or the other; the first one stays."""
    sides = sorted((pair.chosen, pair.rejected))
    key = hashlib.sha256("\0".join((pair.prompt.id, *sides)).encode()).digest()
    side = hashlib.sha256(pair.chosen.encode()).hexdigest()
    earlier, chosen = first.setdefault(key, (row, side))
    if earlier is not row:
        where = f"row {earlier.number} of {earlier.file}"
        if side == chosen:
            raise Refused(DUPLICATE, f"of {where}")
        raise Refused("contradicts an earlier row", f"{where} prefers the other response")


def _result(
    dimension: str, count: int, kept: Sequence[Measured], refused: Sequence[RefusedRow], config: PairsConfig
) -> PairsResult:
    members: dict[Split, list[Measured]] = {split: [] for split in SPLITS}
    for pair, lengths in kept:
        members[split_of(pair.prompt, config)].append((pair, lengths))
    reasons = Counter(row.reason for row in refused)
    stats = PairStats(
        rows=count,
        pairs=len(kept),
        refused=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        refused_share=round((len(refused) - reasons[DUPLICATE]) / count, 6) if count else 0.0,
        prompt=token_stats([n.prompt for _, n in kept]),
        chosen=token_stats([n.chosen for _, n in kept]),
        rejected=token_stats([n.rejected for _, n in kept]),
        splits={
            split: SplitStats(
                pairs=len(rows),
                prompts=len({p.prompt.id for p, _ in rows}),
                longer_is_chosen=round(longer_is_chosen([(n.chosen, n.rejected) for _, n in rows]), 4),
            )
            for split, rows in members.items()
        },
    )
    splits = {split: [pair for pair, _ in rows] for split, rows in members.items()}
    return PairsResult(dimension, splits, refused, stats, config.max_refused)


def _rows(data: Path, dimension: str, pattern: str) -> Iterator[RawRow]:
    """The rows of all files of a source, with a bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for path in find_files(data, pattern):
            name = path.relative_to(data).as_posix()
            bar = progress.add_task(f"{dimension}: {name}", total=None)
            yield from progress.track(read_file(path, name), task_id=bar)
