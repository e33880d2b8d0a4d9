"""Going on after a hold: which dimensions do, what runs for one more look, and the line that tells it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from genarm.data.dvc_lock import read_records
from genarm.evaluation.measures import measures
from genarm.evaluation.rule import conditions
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import DECIDE, JUDGE, RESPOND, RESPOND_BASE, RESPOND_CHAMPION, stage_of
from genarm.system import metric_names as names
from genarm.system.counted import counted
from genarm.system.files import read_json, read_rows, write_json
from genarm.types import Prompt, Scorecard


@dataclass(frozen=True, slots=True)
class Look:
    """The last decision while a run goes on: `undecided` are the dimensions that more prompts may decide.

    `number` is that of the look, from 1, on the dimension that has gone furthest.
    """

    undecided: list[str]
    number: int
    line: str


def begin(project: Project, dimensions: Collection[str], *, anew: bool) -> set[str]:
    """Note the first look of these dimensions, or keep the looks taken; returns the stages that this changes.

    `anew` says that responses or verdicts changed: then another test begins. So it does where the looks taken
    are not those of the present parameters.
    """
    first, most = project.params.respond.prompts, project.params.decide.max_prompts
    before = project.noted_looks()
    now: dict[str, list[int] | None] = {d: before.get(d) for d in project.params.dimensions}
    for dimension in dimensions:
        until = before.get(dimension)
        if most is None or first is None:
            now[dimension] = None
        elif anew or not until or until[0] != first or until[-1] > most:
            now[dimension] = [first]
    if anew:  # of an ARM in use nothing is measured, and the base need not answer for it
        now |= {d: None for d in now if d not in dimensions}
    return _note(project, before, now)


def raised(project: Project, dimensions: Collection[str], *, anew: bool) -> list[str]:
    """A sentence where `decide.max_prompts` is no longer what it was at the looks that are continued."""
    most, recorded = project.params.decide.max_prompts, read_records(project.root)
    decided = recorded.parameters.get(DECIDE, {}).get("params.yaml", {}) if recorded else {}
    before = (decided.get("decide") or {}).get("max_prompts")
    if anew or before is None or most is None or before == most:
        return []
    if not any(project.looks(d) for d in dimensions):
        return []
    return [
        f"decide.max_prompts was {before} at the looks before and is {most} now: the p-value allows for "
        f"{most} from the start, not for the change, which may add alpha to the chance of a false promotion"
    ]


def go_on(project: Project, dimensions: Collection[str]) -> set[str]:
    """Note one more look of these dimensions, as far as there are prompts; the stages that this changes."""
    before = project.noted_looks()
    now = dict(before)
    for dimension in dimensions:
        until = before.get(dimension) or []
        further = min(until[-1] + project.params.decide.batch_prompts, _last(project)) if until else 0
        if until and further > until[-1]:
            now[dimension] = [*until, further]
    return _note(project, before, now)


def further_stages(project: Project, measured: Sequence[str], changed: Collection[str]) -> list[str]:
    """The stages that run for one more look, in running order; all judge, since the base answered more."""
    respond = [stage_of(s, d) for d in measured for s in (RESPOND, RESPOND_CHAMPION)]
    judge = [stage_of(JUDGE, d) for d in measured]
    return [RESPOND_BASE, *(s for s in respond if s in changed), *judge, DECIDE]


def last_look(project: Project, dimensions: Collection[str]) -> Look:
    """Read the last look on these dimensions from what `decide` wrote."""
    cards = read_json(project.layout.scorecards, dict[str, Scorecard])
    asked = dict(zip(cards, conditions([*cards.values()], project.params.decide), strict=True))
    measured, decisions, most = measures([*cards.values()]), project.decisions(), _last(project)
    undecided, words = list[str](), list[str]()
    for dimension in dimensions:
        found, until, outcome = (
            asked[dimension],
            project.looks(dimension),
            decisions[dimension].outcome,
        )
        is_open = [c for answers in found.values() for c in answers if c.state == "open"]
        goes_on = outcome == "hold" and all(c.by_prompts for c in is_open) and until[-1:] < [most]
        if goes_on:
            undecided.append(dimension)
        p = measured[dimension].get(names.P_ADJUSTED)
        shown = "" if p is None else f" p = {p:.2g},"
        end = "goes on" if goes_on else str(outcome)
        if outcome == "hold" and until[-1:] >= [most]:
            used_up = most < (project.params.decide.max_prompts or 0)
            end += f" at {'the last prompt' if used_up else 'decide.max_prompts'}"
        words.append(f"{dimension}{shown} {end}")
    # Another dimension, whose ARM is in use by now, may have gone further before.
    furthest = max((project.looks(d) for d in dimensions), key=lambda until: until[-1:], default=[])
    line = f"{counted(furthest[-1] if furthest else 0, 'prompt')}, {'; '.join(words)}"
    return Look(undecided, len(furthest), line)


def _last(project: Project) -> int:
    """The number of prompts at which the looks end."""
    return min(project.params.decide.max_prompts or 0, len(read_rows(project.layout.prompts, Prompt)))


def _note(
    project: Project, before: dict[str, list[int] | None], now: dict[str, list[int] | None]
) -> set[str]:
    if before == now and project.layout.looks.is_file():
        return set()
    write_json(project.layout.looks, now)
    changed = [d for d in now if before.get(d) != now[d]]
    stages = {stage_of(s, d) for d in changed for s in (RESPOND, RESPOND_CHAMPION, JUDGE)}
    return stages | ({RESPOND_BASE, DECIDE} if changed else set())
