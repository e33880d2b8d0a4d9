"""Comparisons and votes in a database: asked, answered once, read in order, erased."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from genarm.config import FeedbackConfig
from genarm.errors import DataError, GenarmError
from genarm.feedback.address import read_address
from genarm.feedback.comparison import Answer, Choice, Comparison, Vote
from genarm.feedback.database import Database
from genarm.feedback.people import People
from genarm.feedback.schema import comparisons, votes

BATCH = 500  # rows that are read at a time
KEPT_UNANSWERED = 24 * 3600.0  # seconds for which a comparison that expired can still be told from none


class Answered(DataError):
    """The comparison has its vote already."""


class Expired(DataError):
    """The time in which the comparison could be answered is over."""


class Unknown(DataError):
    """There is no such comparison, or not for this user and key."""


class Store:
    """The store of a project. Several processes may have it open and write at once."""

    def __init__(self, config: FeedbackConfig, root: Path, clock: Callable[[], float] = time.time) -> None:
        """Open it. Raises ConfigError, DataError or Unreachable where that cannot be."""
        self.config, self.people, self.clock = config, People(config.hash_users), clock
        self.database = Database(read_address(config.store, root))
        try:
            self.people.agree(self.database)
        except GenarmError:
            self.close()
            raise

    def ask(self, comparison: Comparison) -> None:
        """Keep a comparison; those that nobody answered in time, and a day more, are deleted."""
        c, row = comparisons.c, asdict(comparison)
        for name in ("prompt", "a", "b", "sampling"):
            row[name] = json.dumps(row[name], ensure_ascii=False, sort_keys=True)
        row["user"] = self.people.name(comparison.user)
        answered = select(votes.c.comparison)
        with self.database.writing() as connection:
            old = c.expires < self.clock() - KEPT_UNANSWERED
            connection.execute(delete(comparisons).where(old, c.id.not_in(answered)))
            connection.execute(insert(comparisons).values(**row))

    def vote(self, id: str, key: str, user: str, choice: Choice, reason: str) -> Comparison:
        """Keep the vote on a comparison, once, and return what was compared.

        Without consent the texts are deleted with it. Raises Unknown, Expired or Answered.
        """
        now, c = self.clock(), comparisons.c
        try:
            with self.database.writing() as connection:
                query = select(comparisons).where(c.id == id, c.key == key, c.user == self.people.name(user))
                row = connection.execute(query).one_or_none()
                if row is None:
                    raise Unknown(
                        "there is no such comparison for this user and key",
                        hint="vote with the id, the user and the key of the comparison, or ask for a new one",
                    )
                asked = _comparison(row)
                if connection.execute(select(votes.c.seq).where(votes.c.comparison == id)).first():
                    raise _answered()
                if now > asked.expires:
                    raise Expired("the comparison has expired", hint="ask for a new one")
                kept = {"dimension": asked.dimension, "choice": choice, "reason": reason, "at": now}
                connection.execute(insert(votes).values(comparison=id, **kept))
                if not asked.consent:
                    connection.execute(comparisons.update().where(c.id == id).values(**_without_texts(asked)))
        except IntegrityError:  # another server was faster
            raise _answered() from None
        return asked

    def mark(self, dimension: str, upto: int | None = None) -> tuple[int, int]:
        """How many votes there are of a dimension, and the number of the last one: both tell any change."""
        v = votes.c
        query = select(func.count(), func.max(v.seq)).where(v.dimension == dimension)
        if upto is not None:
            query = query.where(v.seq <= upto)
        with self.database.reading() as connection:
            count, last = connection.execute(query).one()
        return int(count), int(last or 0)

    def votes(self, dimension: str | None = None, upto: int | None = None, trial: str = "") -> Iterator[Vote]:
        """The votes of a dimension, or of a trial of it, in the order in which they came; or all."""
        v, c = votes.c, comparisons.c
        query = select(v.seq, v.choice, v.reason, v.at, comparisons).join(comparisons, c.id == v.comparison)
        if dimension is not None:
            query = query.where(v.dimension == dimension)
        if upto is not None:
            query = query.where(v.seq <= upto)
        if trial:  # within a text its quotation marks would be escaped
            query = query.where(c.a.contains(f'"trial": {json.dumps(trial)}', autoescape=True))
        with self.database.reading() as connection:
            found = connection.execution_options(yield_per=BATCH).execute(query.order_by(v.seq))
            for row in found:
                yield Vote(row.seq, _comparison(row), row.choice, row.reason, row.at)

    def unanswered(self) -> dict[str, int]:
        """How many comparisons wait for a vote, by dimension."""
        c, answered = comparisons.c, select(votes.c.comparison)
        query = select(c.dimension, func.count()).where(c.id.not_in(answered), c.expires >= self.clock())
        with self.database.reading() as connection:
            return {d: int(n) for d, n in connection.execute(query.group_by(c.dimension))}

    def erase(self, user: str, key: str | None = None) -> int:
        """Delete all that is kept of a user, under one API key or all; returns how many comparisons."""
        c = comparisons.c
        which = [c.user == self.people.name(user), *([] if key is None else [c.key == key])]
        with self.database.writing() as connection:
            count = connection.execute(delete(comparisons).where(*which)).rowcount
        self.database.forget_deleted()
        return int(count)

    def close(self) -> None:
        """Close its connections."""
        self.database.close()


def _answered() -> Answered:
    return Answered(
        "the comparison was answered already, and the first vote counts", hint="ask for a new one"
    )


def _without_texts(comparison: Comparison) -> dict[str, str]:
    sides = {}
    for name in ("a", "b"):
        answer = getattr(comparison, name)
        sides[name] = json.dumps(asdict(replace(answer, text="", characters=len(answer.text))))
    return sides | {"prompt": "[]"}


def _comparison(row: Row[Any]) -> Comparison:
    kept = {name: getattr(row, name) for name in Comparison.__dataclass_fields__}
    sides = {name: Answer(**json.loads(kept[name])) for name in ("a", "b")}
    return Comparison(**kept | sides | {n: json.loads(kept[n]) for n in ("prompt", "sampling")})
