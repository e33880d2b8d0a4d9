"""Where preference data is and comes from, how its rows are read, and when new data waits for a person."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from genarm.config.numbers import Section

ColumnName = Annotated[str, Field(min_length=1)]
SourceName = Annotated[str, Field(min_length=1)]
HUB = re.compile(r"hf://[^/@]+/[^/@]+@[^/@]+(/(?!.*\.\.)[^@]+)?")
MAGIC = set("*?[")


class ColumnsConfig(Section):
    """The columns of files that call the parts of a pair otherwise, by the names that they have there."""

    prompt: ColumnName | None = Field(None, description="the column that holds the prompt")
    chosen: ColumnName | None = Field(None, description="the column that holds the better response")
    rejected: ColumnName | None = Field(None, description="the column that holds the worse response")
    system: ColumnName | None = Field(None, description="the column that holds a system message")
    history: ColumnName | None = Field(None, description="the column that holds [[user, assistant], ...]")

    @model_validator(mode="after")
    def _each_column_is_one_part(self) -> "ColumnsConfig":
        columns = list(self.by_part().values())
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise ValueError(f"two parts of a pair are read from one column, {twice[0]!r}")
        return self

    def by_part(self) -> dict[str, str]:
        """The columns that are named, by the part of the pair that each one holds."""
        return self.model_dump(exclude_none=True)


class SourceConfig(Section):
    """Where the preference pairs of one dimension are, and how to read them; a text alone is `files`."""

    files: str = Field(description="glob below data/, such as 'positive.jsonl' or 'helpful/*.jsonl.gz'")
    from_: SourceName | tuple[SourceName, ...] | None = Field(
        None,
        alias="from",
        description="where `genarm refresh` takes them from, one source or several: a path, glob, URL, "
        "s3://, gs://, hf://owner/name@revision, env://NAME, secret://NAME, or feedback:// for votes",
    )
    format: Literal["auto", "trl", "hh", "pku", "ultrafeedback"] = Field("auto", description="row format")
    preferred: Literal["better_response_id", "safer_response_id"] | None = Field(
        None, description="PKU rows only: the label that names the chosen response"
    )
    columns: ColumnsConfig = Field(
        ColumnsConfig(), description="columns of other names, such as {prompt: question, chosen: better}"
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, each by its address; none where the files are brought in by hand."""
        return (self.from_,) if isinstance(self.from_, str) else self.from_ or ()

    @property
    def leading_folder(self) -> str:
        """The folder below data/ that the glob begins with: `helpful` of `helpful/*.jsonl`, else empty."""
        fixed: list[str] = []
        for part in PurePosixPath(self.files).parts[:-1]:
            if MAGIC & set(part):
                break
            fixed.append(part)
        return "/".join(fixed)

    @field_validator("from_")
    @classmethod
    def _can_be_kept_in_git(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        sources = (given,) if isinstance(given, str) else given or ()
        if given == () or len(set(sources)) < len(sources):
            raise ValueError("it names a source twice" if given else "it names no source: leave it out")
        for source in sources:
            _check_source(source)
        return given


def _check_source(source: str) -> None:
    scheme, separator, rest = source.partition("://")
    if scheme == "hf" and separator and not HUB.fullmatch(source):
        raise ValueError(
            "it is not hf://owner/name@revision; the revision is a commit or tag, or main for the newest"
        )
    if separator and scheme != "hf" and ("@" in rest.split("/")[0] or ("http" in scheme and "?" in rest)):
        raise ValueError(
            "a login or a query may be a secret, and params.yaml is kept in git: name the environment "
            "variable (env://NAME) or the Secret block of Prefect (secret://NAME) that holds the address"
        )


class DataConfig(Section):
    """What data may be worse in than the version before; beyond it, `genarm refresh` asks a person."""

    max_lost: float = Field(0.1, ge=0, le=1, description="share of the pairs before that may be gone")
    max_flipped: float = Field(
        0.02, ge=0, le=1, description="share of the pairs in both versions that may prefer the other response"
    )
    max_duplicates: float = Field(
        0.1, ge=0, le=1, description="how much the share of rows that are duplicates may rise"
    )
    max_refused_rise: float = Field(
        0.02, ge=0, le=1, description="how much the share of refused rows may rise, duplicates not counted"
    )
    max_drift: float = Field(
        1.5, ge=1, description="mean tokens of prompts, chosen or rejected: most ratio to before, either way"
    )
