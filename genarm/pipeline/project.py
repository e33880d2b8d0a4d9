"""A project: the folder that holds `params.yaml`, its paths, its parameters and what earlier stages wrote."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from genarm.config import Params, load_params
from genarm.errors import DataError
from genarm.models import ModelSource, resolve
from genarm.models.arm import adapter_hash
from genarm.system.env import project_root
from genarm.system.files import read_json, read_rows
from genarm.system.layout import Layout
from genarm.types import Champion, Decision, JudgeCheck, Prompt, Response, Side, Tuned

T = TypeVar("T")
# Dimension, version and the folder to put it in -> the folder that holds the ARM, checked against its hash.
Fetch = Callable[[str, Champion, Path], Path]


@dataclass(frozen=True)
class Project:
    """One project. Parameters and base model are read once; a change to them counts from the next run."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Project":
        """The project at or above a folder, by default the working directory."""
        return cls(project_root(start))

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies."""
        return Layout(self.root)

    @cached_property
    def params(self) -> Params:
        """What `params.yaml` holds. Raises ConfigError naming file, key and value."""
        return load_params(self.layout.params)

    @cached_property
    def base(self) -> ModelSource:
        """The model that is guided. Raises ModelError where it cannot be found."""
        base = self.params.base
        return resolve(base.model, base.revision, base.chat_template)

    def champions(self, *, missing_ok: bool = False) -> dict[str, Champion | None]:
        """The version in use on each dimension, as `mlflow/champions.json` notes it.

        Raises DataError where the file is absent, unless `missing_ok`: then no dimension has a champion.
        """
        return _versions(self.layout.champions, missing_ok)

    def incumbents(self, *, missing_ok: bool = False) -> dict[str, Champion | None]:
        """The version that each challenger is measured against, as `mlflow/incumbents.json` notes it.

        Raises as `champions` does.
        """
        return _versions(self.layout.incumbents, missing_ok)

    def tuned(self, dimension: str) -> Tuned:
        """How strongly the trained ARM is to guide.

        Raises DataError where the stage `tune` did not run, or ran for another ARM.
        """
        file = self.layout.tuned(dimension)
        tuned = read_json(file, Tuned)
        trained = tuned.adapter_sha256 and adapter_hash(self.layout.arm(dimension))
        if tuned.adapter_sha256 != trained:
            raise DataError(
                f"{file} holds the weight of the ARM {str(tuned.adapter_sha256)[:12]}, and the one in "
                f"{self.layout.arm(dimension)} is {str(trained)[:12]}",
                hint=f"find that of this one: genarm tune {dimension}",
            )
        return tuned

    def judge_checks(self) -> dict[str, list[JudgeCheck] | None]:
        """How far each dimension's judges agree with people; without the file nothing is known."""
        if not self.layout.judge_checks.exists():
            return {}
        return read_json(self.layout.judge_checks, dict[str, list[JudgeCheck] | None])

    def decisions(self) -> dict[str, Decision]:
        """What the last `decide` decided, by dimension."""
        return read_json(self.layout.decisions, dict[str, Decision])

    def noted_looks(self) -> dict[str, list[int] | None]:
        """What `mlflow/looks.json` notes by dimension; nothing where there is no such file."""
        if not self.layout.looks.is_file():
            return {}
        return read_json(self.layout.looks, dict[str, list[int] | None])

    def looks(self, dimension: str | None = None) -> list[int]:
        """After how many prompts a dimension was looked at, empty where a run decides once; see `looks`.

        Without a dimension, of the one that has gone furthest: so far the base answers.
        """
        noted = self.noted_looks()
        wanted = [dimension] if dimension else list(self.params.dimensions)
        return max((noted.get(d) or [] for d in wanted), key=lambda until: until[-1:], default=[])

    def prompts(self, dimension: str | None = None) -> list[Prompt]:
        """The prompts that one dimension's sides answer; without one, those that the base answers.

        Raises DataError where there are none.
        """
        prompts = _some(self.layout.prompts, read_rows(self.layout.prompts, Prompt), "pairs")
        until = self.looks(dimension)
        return prompts[: until[-1] if until else self.params.respond.prompts]

    def responses(self, dimension: str) -> dict[Side, list[Response]]:
        """What each side answered for one dimension; a champion without answers is left out.

        Raises DataError where the base or the challenger answered nothing: that file was cut short.
        """
        sides: dict[Side, list[Response]] = {}
        until = self.looks(dimension)
        for side in ("base", "champion", "challenger"):
            file = self.layout.responses(side, None if side == "base" else dimension)
            if (rows := read_rows(file, Response)) or side != "champion":
                sides[side] = _some(file, rows, f"respond {side}")
        if until and "base" in sides:  # it may have answered more, for another dimension
            sides["base"] = sides["base"][: until[-1]]
        return sides

    def is_in_use(self, dimension: str, champion: Champion | None) -> bool:
        """Whether the trained ARM is the champion already, byte for byte."""
        trained = adapter_hash(self.layout.arm(dimension))
        return champion is not None and champion.adapter_sha256 == trained


def _versions(file: Path, missing_ok: bool) -> dict[str, Champion | None]:
    if missing_ok and not file.is_file():
        return {}
    return read_json(file, dict[str, Champion | None])


def _some(file: Path, rows: list[T], stage: str) -> list[T]:
    if not rows:
        raise DataError(f"{file} holds no rows", hint=f"run its stage again: genarm {stage}")
    return rows
