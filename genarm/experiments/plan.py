"""What `genarm compare` would run, and why: what DVC finds changed, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from genarm.data import dvc
from genarm.experiments.expected import expected
from genarm.experiments.expected_labels import label_warnings
from genarm.experiments.load import Experiment
from genarm.experiments.place import Place
from genarm.experiments.stages import stage_name, write_stages
from genarm.experiments.units import Unit


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """One unit: whether it would run, and why."""

    unit: str
    runs: bool
    why: str


def plan(experiment: Experiment) -> list[PlannedUnit]:
    """Every unit in the order in which they run; the stages are written first.

    Raises PipelineError where DVC fails.
    """
    made, place = write_stages(experiment), experiment.place
    changed = dvc.status(place.root, place.relative(place.stages))
    waiting: set[str] = set()
    found = []
    for unit in made:
        why = _why(place, changed.get(stage_name(place, unit.name)), unit)
        before = [path for path in unit.reads if place.relative(path) in waiting]
        if not why and before:
            why = f"follows {', '.join(place.relative(path) for path in before[:2])}"
        if why:
            waiting |= {place.relative(path) for path in unit.writes}
        found.append(PlannedUnit(unit.name, bool(why), why or "up to date"))
    return found


def warnings(experiment: Experiment, planned: Sequence[PlannedUnit]) -> list[str]:
    """What a run would find too few of, what it could not confirm, and which judges made the labels."""
    waiting = [unit.unit for unit in planned if unit.runs]
    found = expected(experiment, waiting)
    found += label_warnings(experiment, waiting)
    if experiment.config.claims and experiment.config.claims.front_over:
        given = experiment.config.judges
        without = [d for d, j in given.items() if j.held_out is None]
        comparing = [d for d, j in given.items() if j.held_out is not None and j.held_out.llm is not None]
        if comparing:
            found.append(
                "claims.front_over cannot be confirmed: a front needs scores, and the held-out judge of "
                f"{', '.join(comparing)} only compares"
            )
        if len(without) == len(given):
            found.append("claims.front_over cannot be confirmed: no dimension has a held-out judge")
        elif without:
            found.append(f"claims.front_over: {', '.join(without)} is judged by its gold judge alone")
    return found


def _why(place: Place, changes: object, unit: Unit) -> str:
    """The first change that DVC found, in words; empty where it found none."""
    if not isinstance(changes, list) or not changes:
        return ""
    if any(not path.exists() for path in unit.writes):
        return "not run yet"
    for change in changes:
        if isinstance(change, dict):
            for kind, paths in change.items():
                first, *_ = paths
                if first == place.relative(place.units):
                    return "its settings or its code changed"
                return f"{first}: {kind}"
        else:
            return str(change)
    return ""


def render(units: list[PlannedUnit]) -> Table:
    """The plan as a table."""
    table = Table(show_edge=False, pad_edge=False)
    for name in ("unit", "would run", "why"):
        table.add_column(name)
    for unit in units:
        table.add_row(Text(unit.unit), "yes" if unit.runs else "no", Text(unit.why))
    return table
