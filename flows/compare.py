"""The flow that runs an experiment: its units by DVC, then its results to MLflow."""

from collections.abc import Sequence

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from genarm import registry
from genarm.data import dvc, dvc_mend
from genarm.data.dvc_output import StageOutcome
from genarm.experiments.load import Experiment
from genarm.experiments.place import find
from genarm.experiments.plan import PlannedUnit, plan, warnings
from genarm.experiments.read import load_experiment
from genarm.experiments.record import record
from genarm.experiments.tables import Results
from genarm.pipeline.project import Project
from genarm.system.files import read_json

from .align import alone, open_project
from .run_console import following, told
from .run_name import concluded, failure_in_name, name_run
from .tasks import ASKS_A_SERVER


@flow(flow_run_name="compare {name}")
def compare(name: str, root: str | None = None) -> str:
    """Run what changed of an experiment, and return the folder of its results.

    name: its folder below experiments/. root: the project's folder.
    """
    project = open_project(root)
    with failure_in_name(f"compare {name}"), alone(project):
        experiment = load_experiment(project, find(project.root, name))
        mend(project)
        outcome = units(experiment, planned(experiment))
        to_mlflow(project, experiment)
    results = read_json(experiment.place.results / "results.json", Results)
    for claim in results.claims:
        told_claim = f"{claim.subject} {claim.kind} {claim.other}: {claim.verdict}, {claim.why}"
        get_run_logger().info("%s", told_claim, **told("claim"))
    verdicts = ", ".join(c.verdict for c in results.claims) or f"{len(results.rows)} methods"
    name_run(f"compare {name}: {verdicts}")
    return concluded(str(experiment.place.results), f"{outcome}: {verdicts}")


@task(cache_policy=NO_CACHE, task_run_name="mend data")
def mend(project: Project) -> None:
    """Complete or undo what a killed run left half done, and say so."""
    for line in dvc_mend.mend(project.root):
        get_run_logger().warning("data: %s", line, **told())


@task(cache_policy=NO_CACHE, task_run_name="plan")
def planned(experiment: Experiment) -> list[PlannedUnit]:
    """Write the stages and find what would run; what speaks against hours of it is said before."""
    found = plan(experiment)
    if any(unit.runs for unit in found):
        for line in warnings(experiment, found):
            get_run_logger().warning("%s", line, **told())
    return found


@task(cache_policy=NO_CACHE, task_run_name="units")
def units(experiment: Experiment, found: Sequence[PlannedUnit]) -> StageOutcome:
    """Let DVC run the units that changed and what follows from them."""
    place, run = experiment.place, sum(unit.runs for unit in found)
    get_run_logger().info("%d units, of which %d run", len(found), run, **told("units"))
    with following(f"compare {place.name}") as output:

        def line(text: str) -> None:
            if text.startswith("Running stage '"):
                unit = text.removeprefix("Running stage '").rstrip("':").rpartition(":")[2]
                get_run_logger().info("runs", **told(unit))
            output.line(text)

        return dvc.run_stages(place.root, place.relative(place.stages), on_line=line)


@task(task_run_name="to MLflow", **ASKS_A_SERVER)
def to_mlflow(project: Project, experiment: Experiment) -> None:
    """One run for the experiment, below it one for each method and training; the same results once."""
    record(registry.connect(project.root), experiment)
