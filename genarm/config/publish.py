"""Where the results of a run go once it has decided: to the DVC remote, into a commit, to the git remote."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from genarm.config.numbers import Section


class PublishConfig(Section):
    """What happens to results once a run has decided; by default they stay where they are."""

    dvc: Literal["none", "push"] = Field(
        "none", description="send data, outputs and run cache to DVC's default remote"
    )
    git: Literal["none", "commit", "branch"] = Field(
        "none",
        description="commit data.dvc, dvc.lock and mlflow/*.json: on the branch that is checked out, or on a "
        "branch of its own for review",
    )
    push: bool = Field(False, description="also push that commit or branch to the git remote")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*$")] = (
        Field("genarm", description="where branches for review are: <prefix>/results-<hash>")
    )

    @model_validator(mode="after")
    def _what_is_pushed_was_committed(self) -> "PublishConfig":
        if self.push and self.git == "none":
            raise ValueError("publish.push needs a commit: publish.git is none; set it to commit or branch")
        return self

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is to be published."""
        return self.dvc != "none" or self.git != "none"
