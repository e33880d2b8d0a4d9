"""Malformed rows of every format: each comes out as a pair or in quarantine, or its file is refused.

A good file of some rows is written, damaged at random, and read as `genarm pairs` reads it. Damage is of two
kinds: to values (a key dropped, a wrong type, deep nesting, half a surrogate, a key twice, ...) and to bytes
(a bit flipped, a cut, bytes inserted). A file whose rows have no borders may be refused as a whole.
"""

import copy
import csv
import gzip
import io
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from faults_campaign import Campaign
from faults_counts import Counts

DIMENSION = "rows"
FILE_SECONDS = 20.0  # bound of one small file
ROWS = 10  # of a file
FILES, QUICK_FILES = 60, 6  # of each suffix and format
Value = Any
Row = dict[str, Value]


def row(format: str, i: int) -> Row:
    """A good row of a format, different for each number."""
    prompt, good, bad = f"question {i}?", f"good é {i}", f"bad {i}"
    answers = [[{"role": "assistant", "content": text}] for text in (good, bad)]
    user = [{"role": "user", "content": prompt}]
    match format:
        case "trl":
            return {"prompt": prompt, "chosen": good, "rejected": bad}
        case "messages":
            return {"prompt": user, "chosen": answers[0], "rejected": answers[1]}
        case "hh":
            start = f"\n\nHuman: {prompt}\n\nAssistant: "
            return {"chosen": start + good, "rejected": start + bad}
        case "pku":
            label = {"better_response_id": i % 2, "safer_response_id": 1 - i % 2}
            return {"prompt": prompt, "response_0": good, "response_1": bad} | label
        case _:
            sides = {"chosen": user + answers[0], "rejected": user + answers[1]}
            return {"prompt": prompt} | sides | {"score_chosen": 8.0, "score_rejected": 3.0}


FORMATS = ("trl", "messages", "hh", "pku", "ultrafeedback")
NAMES = ("extra", "prompt", "chosen", "messages", "\ud800", "")
STRANGE: tuple[Callable[[Random], Value], ...] = (
    lambda rng: None,
    lambda rng: True,
    lambda rng: rng.randint(-(10**6), 10**6),
    lambda rng: 10**400,
    lambda rng: float("nan"),
    lambda rng: float("inf"),
    lambda rng: "",
    lambda rng: " \n ",
    lambda rng: "half \ud83d",
    lambda rng: "\x00\x1b[31m",
    lambda rng: "a" * 20_000,
    lambda rng: [],
    lambda rng: {},
    lambda rng: [None],
    lambda rng: [{"role": "user"}],
    lambda rng: [{"role": rng.choice(["tool", "", "USER", 3, None]), "content": "x"}],
    lambda rng: {"role": "user", "content": "x"},
    lambda rng: [[[[{"content": [1]}]]]],
)


def damaged_value(good: Row, rng: Random) -> Value:
    """The row with a key gone, renamed, or of a strange value; or something that is no row."""
    bad, key = copy.deepcopy(good), rng.choice(list(good))
    match rng.randrange(6):
        case 0:
            del bad[key]
        case 1:
            bad[key.upper()] = bad.pop(key)
        case 2:
            bad[rng.choice(["extra", "prompt", "chosen", "messages", "\ud800", ""])] = rng.choice(STRANGE)(
                rng
            )
        case 3 if isinstance(bad[key], list):
            bad[key].insert(rng.randrange(2), rng.choice(STRANGE)(rng))
        case 4 if rng.random() < 0.3:
            return rng.choice(STRANGE)(rng)
        case _:
            bad[key] = rng.choice(STRANGE)(rng)
    return bad


def as_text(value: Value, rng: Random) -> str:
    """The JSON of a value, now and then with a key twice or nested deeper than Python reads."""
    text = json.dumps(value)
    if rng.random() < 0.02:
        return "[" * 100_000
    return text


def damaged_bytes(content: bytes, rng: Random) -> bytes:
    """Some bytes flipped, a cut at the end, or bytes inserted."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 5, 50))):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at:at] = rng.choice((b"\xff\xfe", b"\x00", b"\n", b'"', b"{", b"\xed\xa0\x80", b"\r"))
            case _:
                del data[at : at + rng.randint(1, 5)]
    return bytes(data[: rng.randrange(1, len(data))] if rng.random() < 0.1 else data)


def write(path: Path, format: str, rng: Random) -> int:
    """Write a damaged file; how many rows it must be told of, -1 where its borders may be gone."""
    values: list[Value] = [row(format, i) for i in range(ROWS)]
    by_value = rng.random() < 0.7
    if by_value:
        for i in rng.sample(range(ROWS), rng.randint(1, ROWS)):
            values[i] = damaged_value(values[i], rng)
    if path.suffix == ".parquet":
        return _write_parquet(path, values, by_value, rng)
    if path.suffix == ".json":
        content = json.dumps(values).encode()
    elif path.suffix == ".csv":
        return _write_csv(path, values, by_value, rng)
    else:
        content = b"".join(as_text(value, rng).encode() + b"\n" for value in values)
    if not by_value:
        content = damaged_bytes(content, rng)
    if path.suffix == ".gz":
        packed = gzip.compress(content)
        path.write_bytes(packed if rng.random() < 0.7 else damaged_bytes(packed, rng))
        return -1 if path.read_bytes() != packed else _lines(content)
    path.write_bytes(content)
    return _lines(content) if path.suffix == ".jsonl" else ROWS if by_value else -1


def _lines(content: bytes) -> int:
    return sum(bool(line.strip()) for line in content.split(b"\n"))


def _write_parquet(path: Path, values: list[Value], by_value: bool, rng: Random) -> int:
    """Columns as they come where one type holds them, else as JSON text; beside them one of an odd type."""
    import pyarrow
    import pyarrow.parquet

    rows = [value if isinstance(value, dict) else {} for value in values]
    columns: dict[str, Any] = {}
    for key in sorted({key for value in rows for key in value if key and "\ud800" not in key}):
        cells = [value.get(key) for value in rows]
        try:
            columns[key] = pyarrow.array(cells)
            pyarrow.parquet.write_table(pyarrow.table({key: columns[key]}), io.BytesIO())
        except (pyarrow.ArrowException, OverflowError, UnicodeError, TypeError):
            columns[key] = pyarrow.array([json.dumps(cell) for cell in cells])
    at = [rng.randrange(-(2**62), 2**62) for _ in rows]
    odd = rng.choice((
        pyarrow.array(at, pyarrow.timestamp("us")),
        pyarrow.array(at, pyarrow.timestamp("us", "No/Where")),
        pyarrow.array(at, pyarrow.duration("us")),
        pyarrow.array([n % 2**31 for n in at], pyarrow.date32()),
        pyarrow.array([b"\xff\xfe\x80"] * len(rows), pyarrow.binary()),
        pyarrow.Array.from_buffers(
            pyarrow.string(), len(rows),
            [None, pyarrow.array(range(len(rows) + 1), pyarrow.int32()).buffers()[1],
             pyarrow.py_buffer(b"\xff" * len(rows))],
        ),
    ))  # fmt: skip
    name = rng.choice(("when", "when", "when", "chosen"))
    columns[name] = odd
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    if not by_value:
        path.write_bytes(damaged_bytes(path.read_bytes(), rng))
    return len(rows) if by_value and name == "when" else -1


def _write_csv(path: Path, values: list[Value], by_value: bool, rng: Random) -> int:
    text = io.StringIO()
    rows = [value if isinstance(value, dict) else {} for value in values]
    writer = csv.DictWriter(text, sorted({key for value in rows for key in value}))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode("utf-8", "surrogatepass")
    path.write_bytes(content if by_value else damaged_bytes(content, rng))
    return ROWS if by_value and len(rows) == len(values) else -1


def malformed(campaign: Campaign) -> Counts:
    """Thousands of damaged rows, in files of every suffix and format."""
    from toys import byte_tokenizer

    from genarm.data.rows import SUFFIXES

    counts, tokenizer, rng = Counts(), byte_tokenizer(), campaign.random
    folder = campaign.folder / "rows"
    folder.mkdir()
    for suffix in SUFFIXES:
        for format in FORMATS:
            for number in range(QUICK_FILES if campaign.quick else FILES):
                path = folder / f"{format}-{number}{suffix}"
                rows = write(path, format, rng)
                _read(counts, path, format, rows, tokenizer)
                path.unlink()
            campaign.advance(f"{format} as {suffix}: {counts.tried} rows")
    _twice(counts, folder, tokenizer)
    return counts


def _read(counts: Counts, path: Path, format: str, rows: int, tokenizer: Any) -> None:
    """Read a file as `genarm pairs` does, and count its rows. On an error the file is kept for a look."""
    from genarm.config import PairsConfig, SourceConfig
    from genarm.data.pairs import make_pairs
    from genarm.errors import GenarmError

    preferred: Any = "better_response_id" if format == "pku" else None
    source = SourceConfig(files=path.name, preferred=preferred)
    config = PairsConfig(validation=0.1, evaluation=0.1)
    began = time.monotonic()
    counts.tried += max(rows, 1)
    try:
        result = make_pairs(path.parent, DIMENSION, source, config, tokenizer)
    except GenarmError as error:
        if not error.hint:
            counts.note("crashed", f"{path.name}: no hint: {error.message[:200]}")
        elif rows >= 0 and path.suffix != ".json":
            counts.note("lost", f"{path.name}: refused as a whole: {error.message[:200]}")
        return
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        counts.note("crashed", f"{path.name}: {type(error).__name__}: {str(error)[:120]} ({where.name})")
        return
    if (took := time.monotonic() - began) > FILE_SECONDS:
        counts.note("hung", f"{path.name}: {took:.0f} s for {rows} rows")
    stats = result.stats
    out = stats.pairs + len(result.refused)
    if out < stats.rows or (0 <= stats.rows < rows):
        counts.note("silent", f"{path.name}: {rows} rows, of which {stats.rows} were read, {out} came out")
    if out > stats.rows or 0 <= rows < stats.rows:
        counts.note("double", f"{path.name}: {rows} rows, of which {stats.rows} were read, {out} came out")


def _twice(counts: Counts, folder: Path, tokenizer: Any) -> None:
    """A key twice in one object: which of the two is meant, nobody knows."""
    from genarm.config import PairsConfig, SourceConfig
    from genarm.data.pairs import make_pairs
    from genarm.errors import GenarmError

    text = '{"prompt": "why", "chosen": "a", "chosen": "b", "rejected": "c"}'
    for name, content in (("twice.jsonl", text), ("twice.json", f"[{text}]")):
        (folder / name).write_text(content)
        counts.tried += 1
        source = SourceConfig(files=name)
        config = PairsConfig(validation=0.1, evaluation=0.1)
        try:
            if make_pairs(folder, DIMENSION, source, config, tokenizer).stats.pairs:
                counts.note("silent", f"{name}: of a key that a row has twice, one value was taken")
        except GenarmError as error:
            if not error.hint:
                counts.note("crashed", f"{name}: no hint: {error.message}")
