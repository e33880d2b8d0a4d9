"""Whether people are asked which of two responses they prefer, and which of their answers become data."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pydantic import Field, field_validator

from genarm.config.data import SourceConfig
from genarm.config.explain import nearest
from genarm.config.numbers import Section

SCHEME = "feedback://"


class FeedbackConfig(Section):
    """What people prefer: where it is kept, and which votes `genarm feedback export` leaves out."""

    store: str | None = Field(
        None,
        description="database of comparisons and votes: a file such as feedback.db, postgresql://HOST/NAME, "
        "or env://NAME; null: nobody is asked",
    )
    expires: float = Field(24.0, gt=0, le=24 * 365, description="hours in which a comparison may be answered")
    hash_users: bool = Field(
        False, description="keep user ids as hashes, salted with the variable GENARM_FEEDBACK_SALT"
    )
    max_share: float = Field(
        0.1, gt=0, le=1, description="most share of a dimension's exported pairs that come from one person"
    )
    max_per_minute: int = Field(6, ge=1, description="votes of one person a minute; more are left out")
    max_per_day: int = Field(200, ge=1, description="votes of one person in 24 hours; more are left out")
    max_speed: float = Field(
        60.0, gt=0, description="characters of both responses a second; votes that came faster are left out"
    )
    max_one_side: float = Field(
        0.9, ge=0.5, le=1, description="share of votes for A, or for B, beyond which a person is left out"
    )

    @field_validator("store")
    @classmethod
    def _can_be_kept_in_git(cls, store: str | None) -> str | None:
        scheme, separator, rest = (store or "").partition("://")
        if store == "":
            raise ValueError("it is empty: name a file such as feedback.db, or leave it at null")
        if separator and scheme not in ("sqlite", "postgresql", "env"):
            raise ValueError(
                f"{scheme}:// is no store: a file, sqlite:///PATH, postgresql://HOST/NAME, env://NAME"
            )
        if separator and ("@" in rest.split("/")[0] or "?" in rest):
            raise ValueError(
                "a login or a query may be a secret, and params.yaml is kept in git: set PGUSER and "
                "PGPASSWORD, or name the environment variable (env://NAME) that holds the address"
            )
        return store


def feedback_file(dimension: str) -> str:
    """The file in which the pairs of `feedback://DIMENSION` come in."""
    return f"{dimension}-feedback.jsonl"


def feedback_source(source: str, dimension: str) -> str:
    """The source as it is asked: `feedback://` alone stands for the votes on the dimension that names it."""
    return f"{SCHEME}{dimension}" if source == SCHEME else source


def check_feedback(feedback: FeedbackConfig, data: Mapping[str, SourceConfig]) -> None:
    """That every `feedback://` has a store, is of a dimension, and comes in as a file that is read.

    Raises ValueError naming the first that is not so.
    """
    for dimension, config in data.items():
        for source in config.sources:
            if not source.startswith(SCHEME):
                continue
            key, of = f"dimensions.{dimension}.data", feedback_source(source, dimension).removeprefix(SCHEME)
            if feedback.store is None:
                raise ValueError(f"{key}.from is {source}, and feedback.store names no store of votes")
            if of not in data:
                raise ValueError(
                    f"{key}.from is {source}{nearest(of, data)}, which is no dimension: {', '.join(data)}"
                )
            if not _takes_in(config, feedback_file(of)):
                glob = PurePosixPath(config.leading_folder, f"{dimension}*.jsonl")
                raise ValueError(
                    f"{key}.files is {config.files!r}, and takes in no {feedback_file(of)}, the file of "
                    f"{source}: write a glob such as {glob}"
                )


def _takes_in(config: SourceConfig, name: str) -> bool:
    """Whether the glob takes in a file of this name in the folder that it begins with."""
    *between, last = PurePosixPath(config.files).relative_to(config.leading_folder).parts
    return fnmatchcase(name, last) and set(between) <= {"**"}
