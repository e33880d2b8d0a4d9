"""Pairs as token ids on disk: written once with `datasets`, memory-mapped, shared by every training on them.

The cache lies in the user's cache folder under a hash of everything that decides the ids: the bytes of the
pairs file, the tokenizer, the chat template and the format below. It may be deleted at any time.
"""

import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from genarm.errors import DataError
from genarm.models import cache_folder, tokenizer_hash
from genarm.system.files import iter_rows, read_json, sha256, write_json
from genarm.training.tokens import TokenPair, Truncate, encode
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

FORMAT = 2  # raised when the same pairs would give other ids
BATCH = 500  # pairs tokenised and written together
TWO_BYTES = 2**16  # tokens of the largest vocabulary whose ids take two bytes
READS = 16  # of rows before the file is mapped again
ROWS, HASH = "pairs.arrow", "complete.json"
SIDES = ("prompt", "chosen", "rejected")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OverLong:
    """A pair that was left out: the id of its prompt, its row in the pairs file, from 1, and its tokens."""

    prompt_id: str
    row: int
    prompt: int
    response: int  # tokens of the longer one
    reason: str


class ArrowRows:
    """The rows of an Arrow file, mapped into memory again after every few reads.

    A page once read counts as this process's memory for as long as it is mapped, and one fault maps sixteen:
    a training that reads all pairs in random order would in time hold the whole file in memory.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._reads = file, 0
        self._data = self._open()

    def _open(self) -> "Dataset":
        from datasets import Dataset

        return Dataset.from_file(str(self._file))

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, row: int) -> dict[str, Any]:
        self._reads += 1
        if self._reads % READS == 0:
            self._data = self._open()
        pair: dict[str, Any] = self._data[row]
        return pair

    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each side of each row -> [n, 3]."""
        import pyarrow.compute

        columns = [
            pyarrow.compute.list_value_length(self._data.data.column(side)).to_numpy() for side in SIDES
        ]
        self._data = self._open()
        return np.stack(columns, 1).astype(np.int64)


class RowSource(Protocol):
    """Where token ids are read from, row by row: an Arrow file, or a `datasets.Dataset` in memory."""

    def __getitem__(self, row: int, /) -> dict[str, Any]:
        """`prompt_id`, `prompt`, `chosen` and `rejected` of a row."""
        ...


class TokenPairs(Sequence[TokenPair]):
    """Pairs of a cached file, read when asked for; their lengths are known beforehand.

    `lengths` is [n, 3]: tokens of prompt, chosen and rejected.
    """

    def __init__(
        self, key: str, data: RowSource, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        self._key, self._data, self._rows, self.lengths = key, data, rows, lengths

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        row = self._data[int(self._rows[i])]
        # A prompt that was cut keeps its end, which is what the responses answer.
        return TokenPair(**{**row, "prompt": row["prompt"][-int(self.lengths[i, 0]) :]})

    @property
    def row_tokens(self) -> npt.NDArray[np.int64]:
        """Tokens that each pair takes up in a packed row -> [n]."""
        tokens: npt.NDArray[np.int64] = self.lengths.sum(1) - 2
        return tokens

    @property
    def fingerprint(self) -> str:
        """A hash of the token ids, in their order."""
        digest = hashlib.sha256(self._key.encode())
        digest.update(self._rows.tobytes() + self.lengths.tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int]) -> "TokenPairs":
        """The pairs at these indices, in this order."""
        return TokenPairs(self._key, self._data, self._rows[indices], self.lengths[indices])

    def within(self, context: int, truncate: Truncate | None) -> tuple["TokenPairs", list[OverLong]]:
        """The pairs that a model of this context can read, and those that it cannot.

        With `prompt_start`, a prompt that is too long loses its start; a response is never cut.
        """
        longest = self.lengths[:, 1:].max(1)
        room = context - longest  # for the prompt
        lengths = self.lengths.copy()
        if truncate == "prompt_start":
            lengths[:, 0] = np.minimum(lengths[:, 0], np.maximum(room, 1))
        fits = lengths[:, 0] <= room
        refused = [
            OverLong(
                self._data[int(self._rows[i])]["prompt_id"],
                int(self._rows[i]) + 1,
                int(self.lengths[i, 0]),
                int(longest[i]),
                f"longer than the model's context of {context} tokens",
            )
            for i in np.flatnonzero(~fits)
        ]
        return TokenPairs(self._key, self._data, self._rows[fits], lengths[fits]), refused


def tokenise(file: Path, tokenizer: "PreTrainedTokenizerBase") -> TokenPairs:
    """The pairs of a file of `genarm pairs` as token ids, from the cache where it holds them.

    Two processes may ask at once: one writes the cache, the other waits. A broken cache is written again.
    Raises DataError for a file that is missing or holds no pairs.
    """
    key = _key(file, tokenizer)
    folder = cache_folder() / "tokens" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not _is_complete(folder):
            _write(file, tokenizer, folder)
    data = ArrowRows(folder / ROWS)
    return TokenPairs(key, data, np.arange(len(data)), data.lengths())


def _key(file: Path, tokenizer: "PreTrainedTokenizerBase") -> str:
    if not file.is_file():
        raise DataError(f"no file at {file}", hint="run the stage that writes it: dvc repro")
    inputs = [FORMAT, sha256(file), tokenizer_hash(tokenizer), tokenizer.chat_template]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def _write(file: Path, tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    from datasets import Features, List, Value
    from datasets.arrow_writer import ArrowWriter

    # One name is enough: the lock is held, and the next process removes what a killed one left.
    beside = folder.with_name(f"{folder.name}.new")
    for leftover in (beside, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    beside.mkdir()
    token = Value("uint16" if len(tokenizer) <= TWO_BYTES else "int32")
    features = Features({"prompt_id": Value("string"), **{side: List(token) for side in SIDES}})
    rows = iter_rows(file, PreferencePair)
    with ArrowWriter(path=str(beside / ROWS), features=features, writer_batch_size=BATCH) as writer:
        while pairs := list(islice(rows, BATCH)):
            for pair in encode(pairs, tokenizer):
                writer.write(dataclasses.asdict(pair))
        writer.finalize()
    write_json(beside / HASH, sha256(beside / ROWS))
    beside.rename(folder)


def _is_complete(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        complete = read_json(folder / HASH, str) == sha256(folder / ROWS)
    except (DataError, OSError):
        complete = False
    if not complete:
        log.warning("%s was cut short or altered; it is written again", folder)
    return complete
