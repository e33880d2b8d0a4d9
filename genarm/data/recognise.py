"""What a file of preference data holds, by its first rows: the row format, and the columns of the pairs.

Rows are read as they are read later, and a suggestion is one that was tried on them. No tokenizer is needed.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from genarm.data.columns import LABELS, is_metadata, listed, unread
from genarm.data.formats import Label, RowFormat, detect, parse
from genarm.data.mapping import PAIR, ColumnMap
from genarm.data.parquet import column_names
from genarm.data.refused import Refused
from genarm.data.rows import NO_COLUMNS, read_file
from genarm.errors import DataError

ROWS = 50  # of each file
MOST_REFUSED = 0.5  # of them; with more, the file is of another format than the one that was tried
# Names of the better and the worse response, once words such as "response" are taken out of them.
SIDES = (
    ("chosen", "rejected"), ("better", "worse"), ("best", "worst"), ("good", "bad"), ("accepted", "rejected"),
    ("accepted", "refused"), ("accept", "reject"), ("preferred", "rejected"), ("preferred", "dispreferred"),
    ("preferred", "other"), ("winner", "loser"), ("winning", "losing"), ("win", "lose"),
    ("positive", "negative"), ("pos", "neg"), ("w", "l"), ("yw", "yl"), ("chosen", "reject"),
)  # fmt: skip
_FILLING = (
    "response", "responses", "answer", "answers", "output", "completion", "text", "message", "reply", "y",
)  # fmt: skip
PROMPTS = (
    "prompt", "instruction", "instructions", "question", "query", "input", "user", "request", "human",
    "problem", "task", "context", "x",
)  # fmt: skip
PARTLY = ("prompt", "question", "instruction")
SYSTEMS = ("system", "system prompt", "system message")
UNSORTED = "write the better answer to a column `chosen`, the other one to `rejected`"
NO_PAIRS = "a row is a prompt with a better and a worse answer; call them prompt, chosen and rejected"
JOIN = "join them in one column `prompt`"
_ENDS = {("a", "b"), ("1", "2"), ("0", "1")}


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file holds, by its first rows; `why` says why it cannot be read, and is empty where it can."""

    file: str
    format: RowFormat | None
    columns: Mapping[str, str]  # part of the pair -> column, where the names are not the usual ones
    labels: Sequence[Label]  # PKU rows: the labels that a source can name as `preferred`
    unread: Sequence[str]  # those that say something and are not read
    rows: int  # that were looked at
    refused: Mapping[str, int]  # reason -> how many of them
    why: str = ""
    hint: str = ""  # the way out of it

    def __str__(self) -> str:
        if self.format is None:
            return f"{self.file}: {self.why}"
        shown = ", ".join(f"{part}: {column}" for part, column in self.columns.items())
        return f"{self.file}: {self.format} rows" + (f", {{{shown}}}" if shown else "")


def recognise(path: Path, name: str, columns: Mapping[str, str] = NO_COLUMNS) -> Recognised:
    """The format of one file, and the columns of its pairs, unless they are given.

    Raises DataError where the file itself cannot be read, or has no column of a name that is given.
    """
    # Of Parquet all columns are opened here: those of the pair may have any name.
    opened = {column: column for column in column_names(path, name)} if path.suffix == ".parquet" else {}
    rows = [row.value for row in islice(read_file(path, name, opened), ROWS)]
    if columns:
        tried = _tried(name, rows, columns)
        return tried if tried.format else replace(tried, why=_reason(tried.refused), hint=NO_PAIRS)
    objects = [row for row in rows if isinstance(row, Mapping)]
    names = list(dict.fromkeys(key for row in objects for key in row))
    usual = _system(names)
    for choice in (usual, usual | _suggest(names, objects)):
        tried = _tried(name, rows, choice)
        if tried.format is not None:
            return tried
    why, hint = _why(names, objects, tried.refused) if rows else ("it has no rows", "")
    return replace(tried, columns={}, why=why, hint=hint)


def recognised(path: Path, name: str, columns: Mapping[str, str] = NO_COLUMNS) -> Recognised:
    """The same, with a file that cannot be read as one of no known format."""
    try:
        return recognise(path, name, columns)
    except DataError as error:
        return Recognised(name, None, {}, (), (), 0, {}, error.message, error.hint)


def is_text(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column holds a text or messages in any of the rows."""
    return any(isinstance(value := row.get(name), str | list) and bool(value) for row in rows)


def _tried(name: str, rows: Sequence[object], columns: Mapping[str, str]) -> Recognised:
    """What rows are when they are read with these columns; the format is None where most are refused."""
    columns_of, refused = ColumnMap(columns, name), Counter[str]()
    formats, found, labels = Counter[RowFormat](), set[str](), list[Label]()
    for value in rows:
        try:
            row = columns_of.row(value)
            has = [label for label in LABELS if isinstance(row, Mapping) and label in row]
            parse(row, preferred=has[0] if has else LABELS[0])
        except Refused as why:
            refused[why.reason] += 1
            continue
        if isinstance(row, Mapping):  # anything else was refused
            formats[detect(row)] += 1
            found |= unread(row)
            labels = has
    columns_of.check(PAIR)
    known = formats.most_common(1)[0][0] if formats.total() > len(rows) * (1 - MOST_REFUSED) else None
    return Recognised(name, known, dict(columns), labels, sorted(found), len(rows), dict(refused))


def _suggest(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The columns that the pair may be in, by their names; empty where they say nothing, or not one thing."""
    words = {name: _words(name) for name in names}
    prompts = _prompts(names, rows)
    for better, worse in SIDES:
        chosen = [name for name in names if _bare(words[name]) == better]
        rejected = [name for name in names if _bare(words[name]) == worse]
        if len(chosen) == len(rejected) == 1 and len(prompts) <= 1:
            parts = {"prompt": prompts[0]} if prompts else {}
            parts |= {"chosen": chosen[0], "rejected": rejected[0]}
            return {part: column for part, column in parts.items() if part != column}
    return {}


def _prompts(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that may hold the prompt; where one is called so, it is that one."""
    if "prompt" in names:
        return ["prompt"]
    texts = [name for name in names if is_text(rows, name) and not is_metadata(name)]
    found = [name for name in texts if _bare(_words(name)) in PROMPTS]
    # Otherwise the prompt is a part of the name, as of `user_prompt`.
    return found or [
        name for name in texts if "system" not in _words(name) and set(PARTLY) & set(_words(name))
    ]


def _system(names: Sequence[str]) -> dict[str, str]:
    found = [name for name in names if " ".join(_words(name)) in SYSTEMS]
    return {"system": found[0]} if len(found) == 1 and found[0] != "system" else {}


def _words(name: str) -> list[str]:
    """The words of a column's name: `betterAnswer` and `better_answer` have the same."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def _bare(words: Sequence[str]) -> str:
    """The words that are left when those that any text may be called by are taken out, as one."""
    return "".join(word for word in words if word not in _FILLING)


def _why(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], refused: Mapping[str, int]
) -> tuple[str, str]:
    """Why the rows are of no known format, and the way out."""
    prompts = _prompts(names, rows)
    if len(prompts) > 1:
        several = " and ".join(prompts[:3])
        return f"{several} could each be the prompt", JOIN
    last = {words[-1] for name in names if len(words := _words(name)) > 1}
    if any({a, b} <= last for a, b in _ENDS):
        return f"two answers in no order; it {listed(names)}", UNSORTED
    return f"{_reason(refused)}; it {listed(names)}", NO_PAIRS


def _reason(refused: Mapping[str, int]) -> str:
    """Why most rows were refused."""
    reason = max(refused, key=lambda r: refused[r]) if refused else ""
    told = f", {reason}" if reason and not reason.startswith("keys of no known") else ""
    return f"its rows are of no known format{told}"
