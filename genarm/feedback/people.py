"""How users are called in a store: by the id that the client gives, or by a salted hash of it."""

import hashlib
import hmac
import os

from sqlalchemy import insert, select

from genarm.errors import ConfigError
from genarm.feedback import schema
from genarm.feedback.database import Database

VARIABLE = "GENARM_FEEDBACK_SALT"
NAME, PLAIN = "users", "plain"  # the setting that every process which opens the store has to agree on


class People:
    """The names of users: `hashed`, HMAC-SHA256 under the salt of the environment, which no store holds."""

    def __init__(self, hashed: bool) -> None:
        """Read the salt. Raises ConfigError where there is none, or one of fewer than 16 characters."""
        self._salt = os.environ.get(VARIABLE, "").encode() if hashed else b""
        if hashed and len(self._salt) < 16:
            raise ConfigError(
                f"feedback.hash_users needs a salt of at least 16 characters in {VARIABLE}",
                hint=f"export {VARIABLE}=$(openssl rand -hex 32), and keep it: it finds people again",
            )

    def name(self, user: str) -> str:
        """The name under which a user's votes are kept."""
        return self._hash(user) if self._salt else user

    def agree(self, database: Database) -> None:
        """Note the way of naming in a new store. Raises ConfigError where an old one has another."""
        mine = self._hash("\0which salt") if self._salt else PLAIN
        setting = schema.settings.c
        with database.writing() as connection:
            query = select(setting.value).where(setting.name == NAME)
            found = connection.execute(query).scalar_one_or_none()
            if found is None:
                connection.execute(insert(schema.settings).values(name=NAME, value=mine))
        if found in (None, mine):
            return
        kept = "plain" if found == PLAIN else "hashed"
        wanted = "plain" if mine == PLAIN else "hashed"
        what = (
            "with another salt" if kept == wanted else f"{kept}, and feedback.hash_users wants them {wanted}"
        )
        raise ConfigError(
            f"{database.address.shown} keeps user ids {what}",
            hint=f"use the {VARIABLE} and the setting that it was begun with, or another store",
        )

    def _hash(self, text: str) -> str:
        return hmac.new(self._salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
