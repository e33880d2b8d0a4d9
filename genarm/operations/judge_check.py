"""How far the judges of a dimension agree with people, beside three judges that know nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.config import DimensionConfig, JudgeConfig
from genarm.errors import DataError
from genarm.evaluation.agreement import Reading, agreement, by_prompt
from genarm.evaluation.judge_conditions import passes, shortfall
from genarm.evaluation.standing import settings_hash
from genarm.judges import Judge, ScoreJudge, by_text, load_with_origin
from genarm.judges.apart import check_apart
from genarm.judges.pairs import in_both_orders
from genarm.judges.trivial import TRIVIAL
from genarm.operations.human_pairs import HumanPairs, read_pairs
from genarm.pipeline.judge_fetch import fetch_judges
from genarm.pipeline.project import Project
from genarm.system.files import write_json
from genarm.types import Agreement, JudgeCheck

PASS = "pass"


@dataclass(frozen=True, slots=True)
class Judged:
    """One judge on one file; `role` is empty for a judge that is there for comparison only."""

    name: str
    judge: str  # with its version
    role: str  # "judge" or "held-out judge"
    agreement: Agreement
    subsets: Mapping[str, Agreement]
    verdict: str  # "pass", or why it does not; empty without a role


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """All judges on the pairs of one file, and the rows of it that were refused, by reason."""

    file: str
    sha256: str
    pairs: int
    refused: Mapping[str, int]
    judges: Sequence[Judged]

    @property
    def passed(self) -> bool:
        """Whether every judge of the dimension agrees with people on this file."""
        return all(j.verdict == PASS for j in self.judges if j.role)


def judge_check(
    project: Project, dimension: str, files: Sequence[Path], by: str | None = None
) -> list[CheckedFile]:
    """Measure a dimension's judge and its held-out one on files of human preference pairs, and note it.

    What is measured of these two becomes the dimension's entry of `judge-checks.json`, in place of an
    earlier one. `by` names a column whose values are measured apart, too. Raises DataError where a file
    holds no pair, JudgeError where a judge fails.
    """
    config = project.params.dimensions[project.params.known(dimension)]
    fetch_judges(project)
    check_apart(dimension, config, project.root)
    read = [read_pairs(file, config.data, by) for file in _distinct(files)]
    checks, rows = list[JudgeCheck](), [list[Judged]() for _ in read]
    for role, chosen in _judges(config):
        loaded = load_with_origin(chosen, project.root)
        readings = [_readings(loaded.judge, pairs) for pairs in read]
        for row, pairs, said in zip(rows, read, readings, strict=True):
            row.append(_judged(chosen.name, loaded.identity, role, pairs, said))
        checks.append(_check(loaded.identity, chosen, role, rows, readings))
    for row, pairs in zip(rows, read, strict=True):
        for name, score in TRIVIAL.items():
            row.append(_judged(name, name, "", pairs, _readings(ScoreJudge(by_text(score)), pairs)))
    write_json(project.layout.judge_checks, project.judge_checks() | {dimension: checks})
    return [
        CheckedFile(pairs.file, pairs.sha256, len(pairs.pairs), pairs.refused, row)
        for pairs, row in zip(read, rows, strict=True)
    ]


def _judges(config: DimensionConfig) -> list[tuple[str, JudgeConfig]]:
    second = [("held-out judge", config.held_out)] if config.held_out else []
    return [("judge", config.judge), *second]


def _readings(judge: Judge, pairs: HumanPairs) -> list[Reading]:
    return [
        Reading(
            pair.prompt.id,
            said.preference,
            said.consistent,
            said.firsts,
            len(pair.chosen) - len(pair.rejected),
        )
        for pair, said in zip(pairs.pairs, in_both_orders(judge, pairs.pairs), strict=True)
    ]


def _judged(name: str, judge: str, role: str, pairs: HumanPairs, readings: Sequence[Reading]) -> Judged:
    found = agreement(pairs.file, pairs.sha256, readings)
    groups: dict[str, list[Reading]] = {}
    for subset, reading in zip(pairs.subsets, readings, strict=False):
        groups.setdefault(subset, []).append(reading)
    subsets = {s: agreement(pairs.file, pairs.sha256, group) for s, group in sorted(groups.items())}
    verdict = "" if not role else PASS if passes(found) else shortfall(found)
    return Judged(name, judge, role, found, subsets, verdict)


def _check(
    judge: str,
    config: JudgeConfig,
    role: str,
    rows: Sequence[Sequence[Judged]],
    readings: Sequence[Sequence[Reading]],
) -> JudgeCheck:
    outcomes = [(r.prompt, (1 + p) / 2) for said in readings for r in said if (p := r.preference) is not None]
    accuracy, se = by_prompt(outcomes)
    measured = [row[-1].agreement for row in rows]
    return JudgeCheck(judge, settings_hash(config), role != "judge", accuracy, se, measured)


def _distinct(files: Sequence[Path]) -> Sequence[Path]:
    """The files; raises DataError where two have one name, since a check names them by it."""
    names = [file.name for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"two files are called {twice[0]}", hint="rename one, or name each file once")
    return files
