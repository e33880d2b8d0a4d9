"""Answers on disk as they come, so that a stage that is killed loses no more than those in flight.

One file for each side and dimension, JSON lines: the first says what the answers depend on, each further one
is a response. A line is written at once; what a kill cut short is removed when the file is opened again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from genarm.types import Response

_RESPONSE = TypeAdapter(Response)


class Journal:
    """The responses that are there already, by prompt; used as `with`."""

    def __init__(self, file: Path, depends_on: Mapping[str, Any]) -> None:
        text = json.dumps(depends_on, sort_keys=True, default=str, ensure_ascii=False)
        self._file, self._head = file, {"of": hashlib.sha256(text.encode()).hexdigest()}
        self.responses: dict[str, Response] = {}

    def __enter__(self) -> "Journal":
        self._file.parent.mkdir(parents=True, exist_ok=True)
        whole = self._read()
        self._rows = self._file.open("r+b" if whole else "wb")
        if whole:
            self._rows.truncate(whole)
            self._rows.seek(whole)
        else:
            self._write(self._head)
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def add(self, response: Response) -> None:
        """Keep a response."""
        self.responses[response.prompt_id] = response
        self._write(asdict(response))

    def _write(self, row: Mapping[str, Any]) -> None:
        self._rows.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._rows.flush()

    def _read(self) -> int:
        """Take what is whole; how many bytes that is, 0 where the file is of something else."""
        if not self._file.is_file():
            return 0
        whole = 0
        with self._file.open("rb") as rows:
            for line in rows:
                try:
                    if not line.endswith(b"\n"):
                        break
                    if whole == 0:
                        if json.loads(line) != self._head:
                            return 0
                    else:
                        response = _RESPONSE.validate_json(line)
                        self.responses[response.prompt_id] = response
                except (ValueError, ValidationError):
                    break
                whole += len(line)
        return whole
