"""Answers on disk, one row a request, so that nothing is asked twice and a killed run goes on.

SQLite with a write-ahead log: a row is there as a whole or not at all, whenever the process ends. Neither
prompts, responses nor keys of servers are stored, only a hash of what was asked.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from genarm.errors import JudgeError
from genarm.judges.llm.verdict import Reply

_TABLE = """create table if not exists replies (
    key text primary key, model text not null, fingerprint text, text text not null, tops text,
    tokens_in integer not null, tokens_out integer not null
) without rowid"""
_BUSY = 60.0  # seconds to wait for another process that writes


def key_of(asked: Mapping[str, object], model: str, fingerprint: str | None) -> str:
    """The sha256 of all that an answer depends on: what was asked of whom, and who answered."""
    text = json.dumps([asked, model, fingerprint], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """Replies by key; without a file they are held in memory. Used as `with`."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def __enter__(self) -> "Cache":
        with self._told():
            if self._file:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            self._rows = sqlite3.connect(self._file or ":memory:", timeout=_BUSY, isolation_level=None)
            self._rows.execute("pragma journal_mode = wal")
            self._rows.execute("pragma synchronous = normal")
            self._rows.execute(_TABLE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def get(self, key: str) -> Reply | None:
        """The reply that was stored, if there is one."""
        with self._told():
            row = self._rows.execute(
                "select model, fingerprint, text, tops, tokens_in, tokens_out from replies where key = ?",
                (key,),
            ).fetchone()
        if row is None:
            return None
        model, fingerprint, text, tops, tokens_in, tokens_out = row
        return Reply(model, fingerprint, text, tops and json.loads(tops), tokens_in, tokens_out)

    def put(self, key: str, reply: Reply) -> None:
        """Store a reply; one that is there already stays."""
        tops = None if reply.tops is None else json.dumps(list(reply.tops))
        row = key, reply.model, reply.fingerprint, reply.text, tops, reply.tokens_in, reply.tokens_out
        with self._told():
            self._rows.execute("insert or ignore into replies values (?, ?, ?, ?, ?, ?, ?)", row)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(
                f"the answers of judges in {self._file} cannot be read or written: {error}",
                hint="make room, or delete the file if it is damaged: its answers are then asked for again",
            ) from None
