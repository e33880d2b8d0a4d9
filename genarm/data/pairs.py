"""Preference data to pairs: validated, without duplicates, split by conversation, counted in tokens.

A row is taken whole or refused with a reason; nothing is repaired or cut. A prompt's split follows from the
first turn of its user and the seed alone, so it is the same in every dimension, for every later turn of one
conversation, and does not change as data grows.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from genarm.config import PairsConfig, SourceConfig
from genarm.data.batches import CharacterLimit, batches, too_long
from genarm.data.columns import unread
from genarm.data.files import find_files
from genarm.data.formats import parse
from genarm.data.labels import labelled_by
from genarm.data.lengths import Lengths, TokenStats, longer_is_chosen, token_lengths, token_stats
from genarm.data.mapping import ColumnMap
from genarm.data.refused import Refused
from genarm.data.rows import RawRow, read_file
from genarm.errors import DataError
from genarm.system.files import write_json, write_rows
from genarm.system.layout import Layout
from genarm.types import PreferencePair, Prompt, Split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPLITS: tuple[Split, ...] = ("train", "validation", "evaluation")  # and `judge`, where its share is above 0
MOST_COLUMNS = 50  # of one file that are told as not read
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
    unread: Mapping[str, Sequence[str]]  # file -> its columns that say something and were not read
    files: Mapping[str, int] = field(compare=False)  # file -> its rows
    labelled_by: Sequence[str] = ()  # as the data says it


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
    files: Counter[str] = Counter()
    columns: dict[str, set[str]] = {}
    limit = CharacterLimit.of(tokenizer, config.max_tokens)

    def refuse(row: RawRow, why: Refused) -> None:
        refused.append(RefusedRow(dimension, row.file, row.number, why.reason, why.detail, row.sha256))

    def parsed() -> Iterator[tuple[RawRow, PreferencePair]]:
        first: dict[bytes, tuple[str, str]] = {}
        for path in find_files(data, source.files):
            name = path.relative_to(data).as_posix()
            files[name] = 0
            columns_of = ColumnMap(source.columns.by_part(), name)
            for row in _rows(path, name, dimension, columns_of.columns):
                files[name] += 1
                try:
                    value = columns_of.row(row.value)
                    pair = parse(value, source.format, source.preferred)
                    _only_once(row, pair, first)
                    limit.check(pair)
                except Refused as why:
                    refuse(row, why)
                else:
                    if isinstance(value, Mapping):
                        _note(columns, name, unread(value))
                    yield row, pair
            columns_of.check()

    for batch in batches(parsed()):
        measured = token_lengths([pair for _, pair in batch], tokenizer)
        for (row, pair), lengths in zip(batch, measured, strict=True):
            if isinstance(lengths, Refused):
                refuse(row, lengths)
            elif (longest := max(lengths.chosen, lengths.rejected)) + lengths.prompt > config.max_tokens:
                detail = f"prompt {lengths.prompt} + response {longest}"
                refuse(row, Refused(too_long(config.max_tokens), detail))
            else:
                kept.append((pair, lengths))
    refused.sort(key=lambda r: (r.file, r.row))
    log.info("%s: %d rows, %d pairs, %d refused", dimension, files.total(), len(kept), len(refused))
    for name in columns:
        log.warning("%s: %s: columns not read: %s", dimension, name, ", ".join(sorted(columns[name])))
    result = _result(dimension, files, columns, kept, refused, config)
    return replace(result, stats=replace(result.stats, labelled_by=labelled_by(data, files)))


def split_of(prompt: Prompt, config: PairsConfig) -> Split:
    """The split of a prompt: a number in [0, 1) drawn from the seed and its first turn, against the shares.

    Whatever goes on from one first turn of the user, under any system message, is in one split: otherwise an
    evaluation prompt could hold a response that was trained on.
    """
    return split_of_conversation(conversation_id(prompt), config)


def split_of_conversation(identity: str, config: PairsConfig) -> Split:
    """The same of the id that `conversation_id` gives."""
    digest = hashlib.sha256(f"{config.seed}:{identity}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if draw < config.evaluation:
        return "evaluation"
    if draw < config.evaluation + config.validation:
        return "validation"
    return "judge" if draw < config.evaluation + config.validation + config.judge else "train"


def conversation_id(prompt: Prompt) -> str:
    """The id of the first turn of a prompt's user: what decides its split."""
    return Prompt(tuple(m for m in prompt.messages if m.role == "user")[:1]).id


def write_pairs(layout: Layout, result: PairsResult) -> None:
    """Write artifacts/pairs/<dimension>: quarantine and statistics and, if the data suffices, the splits.

    The same result gives the same bytes. Raises what `check_pairs` raises.
    """
    quarantine = layout.quarantine(result.dimension)
    write_rows(quarantine, result.refused)
    write_json(layout.pairs_stats(result.dimension), result.stats)
    check_pairs(result, f"{quarantine.relative_to(layout.root)} names every row")
    if "judge" not in result.splits:  # left over from when it had a share
        layout.pairs(result.dimension, "judge").unlink(missing_ok=True)
    for split, pairs in result.splits.items():
        write_rows(layout.pairs(result.dimension, split), pairs)


def check_pairs(result: PairsResult, where: str) -> None:
    """Raise DataError where too many rows were refused or a split is empty; `where` says how to find them."""
    stats, name = result.stats, result.dimension
    reasons = ", ".join(f"{reason} ({n})" for reason, n in list(stats.refused.items())[:3])
    first = next((r for r in result.refused if r.detail and r.reason != DUPLICATE), None)
    if first:
        reasons += f"; row {first.row} of {first.file}: {first.reason}, {first.detail}"
    if not stats.rows:
        raise DataError(
            f"{name!r} has no rows: {', '.join(stats.files)} is empty"
            if len(stats.files) == 1
            else f"{name!r} has no rows: its {len(stats.files)} files are empty",
            hint=f"fetch the data again, or name other files in dimensions.{name}.data",
        )
    if stats.refused_share > result.max_refused:
        raise DataError(
            f"{stats.refused_share:.1%} of the {stats.rows} rows of {name!r} were refused, "
            f"more than the {result.max_refused:.1%} allowed: {reasons}",
            hint=f"{where}; correct the data or its entry in params.yaml, or raise pairs.max_refused",
        )
    for split, pairs in result.splits.items():
        if not pairs:
            sizes = ", ".join(f"{s} {part.prompts}" for s, part in stats.splits.items())
            knob = (
                "lower pairs.validation or pairs.evaluation" if split == "train" else f"raise pairs.{split}"
            )
            raise DataError(
                f"{name!r} has no {split} pairs; rows {stats.rows}, refused {len(result.refused)}, "
                f"prompts: {sizes}",
                hint=f"add data with other prompts, or {knob}",
            )


def _only_once(row: RawRow, pair: PreferencePair, first: dict[bytes, tuple[str, str]]) -> None:
    """Refuse a pair seen before, with its responses in this order or the other; the first one stays."""
    sides = sorted((pair.chosen, pair.rejected))
    key = hashlib.sha256("\0".join((pair.prompt.id, *sides)).encode()).digest()
    side = hashlib.sha256(pair.chosen.encode()).hexdigest()
    here = f"row {row.number} of {row.file}"
    where, chosen = first.setdefault(key, (here, side))
    if where != here:
        if side == chosen:
            raise Refused(DUPLICATE, f"of {where}")
        raise Refused("contradicts an earlier row", f"{where} prefers the other response")


def _note(columns: dict[str, set[str]], name: str, found: set[str]) -> None:
    """Keep the names of columns that were not read, a bounded number of them."""
    if found and len(known := columns.setdefault(name, set())) < MOST_COLUMNS:
        known |= set(sorted(found)[: MOST_COLUMNS - len(known)])


def _result(
    dimension: str,
    files: Mapping[str, int],
    columns: Mapping[str, set[str]],
    kept: Sequence[Measured],
    refused: Sequence[RefusedRow],
    config: PairsConfig,
) -> PairsResult:
    count = sum(files.values())
    wanted: tuple[Split, ...] = (*SPLITS, "judge") if config.judge else SPLITS
    members: dict[Split, list[Measured]] = {split: [] for split in wanted}
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
        unread={name: sorted(columns[name]) for name in sorted(columns)},
        files=dict(files),
    )
    splits = {split: [pair for pair, _ in rows] for split, rows in members.items()}
    return PairsResult(dimension, splits, refused, stats, config.max_refused)


def _rows(path: Path, name: str, dimension: str, columns: Mapping[str, str]) -> Iterator[RawRow]:
    """The rows of a file, with a bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(escape(f"{dimension}: {name}"), total=None)
        yield from progress.track(read_file(path, name, columns), task_id=bar)
