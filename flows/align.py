"""The main flow: new preference data in, a promotion decision out.

Prefect decides when, DVC remembers what, MLflow remembers how well.
"""

from pathlib import Path
from typing import Literal

from httpx import HTTPError
from prefect import flow, get_run_logger
from prefect.exceptions import PrefectException

from genarm.data import dvc
from genarm.errors import StaleDecision
from genarm.pipeline import kept, looking
from genarm.pipeline.alone import alone as alone  # other flows take it from here
from genarm.pipeline.batches import in_batches
from genarm.pipeline.incumbents import note_incumbents
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import DECIDE, PAIRS, TRAIN, measuring_stages, stage_of, tuning_stages
from genarm.pipeline.stage_summary import title_of
from genarm.report.closing import outcomes
from genarm.system import env
from genarm.types import Champion, Decision, Guidance
from genarm.watch import events as worth_telling

from . import crashed, publishing, tasks
from .elsewhere import pools_ready, run_on_pools
from .events import tell
from .metrics import AT_ITS_END
from .plain_errors import log_plainly
from .run_console import told
from .run_name import concluded, failure_in_name, name_run


@flow(flow_run_name="align", **AT_ITS_END)
def align(root: str | None = None, promote: bool = True) -> list[Decision]:
    """Train what changed, judge what is new, promote what is better, and say why.

    root: the project's folder. promote: carry the decision out, or only report it.
    """
    project = open_project(root)
    dimensions, decided = list(project.params.dimensions), {}
    with failure_in_name("align"), alone(project):
        tasks.preflight(project, anew=tasks.mend_data(project))
        if project.params.pools.named:
            pools_ready(project)
        champions = tasks.snapshot(project)
        tasks.note_starts(project)
        run = ChangedStages(project)
        run(dvc.POINTER, *(stage_of(PAIRS, d) for d in dimensions))
        run.changed |= {stage_of(TRAIN, d) for d in tasks.note_starts(project)}  # it depends on the data
        run(*(stage_of(TRAIN, d) for d in dimensions))
        in_use = {d: c for d, c in champions.items() if c and project.is_in_use(d, c)}
        run(*tuning_stages(dimensions, in_use))
        for dimension in dimensions:
            tasks.register(project, dimension, trained=stage_of(TRAIN, dimension) in run.ran)
        new = [d for d in dimensions if d not in in_use]
        if new:
            run.changed |= note_incumbents(project)
            measure(project, run, new, measuring_stages(dimensions, in_use))
            tasks.verify(project)
            for dimension, decision in project.decisions().items():
                if dimension in new:
                    _same_champion(dimension, decision.champion, champions[dimension])
                    decided[dimension] = tasks.promote(project, decision, carry_out=promote)
                    tell(worth_telling.decided(project.root, decided[dimension], promote))
            tasks.snapshot(project)
        asked = {d: config.weight for d, config in project.params.dimensions.items()}
        by = project.params.respond.guidance
        decisions = [decided.get(d) or same(d, in_use[d], asked[d], by) for d in dimensions]
        tasks.publish(project, decisions)
        left = publishing.publish(project, decisions) if promote else ""  # a trial is nobody else's result
    outcome = outcomes(decisions, promote) + left
    name_run(f"align: {outcome}")
    for decision in decisions:
        get_run_logger().info("%s: %s", outcomes([decision], promote), "; ".join(decision.reasons))
    return concluded(decisions, outcome)


def measure(project: Project, run: "ChangedStages", new: list[str], stages: list[str]) -> None:
    """Answer, judge and decide; again with more prompts for what is held, up to `decide.max_prompts`.

    Once answers or verdicts change, a test begins anew; with the answers that were kept, it gets as far as
    before in a moment. The report is written once.
    """
    *until_decided, last = stages
    anew = bool(run.ran) or not {s for s in until_decided if s != DECIDE}.isdisjoint(run.changed)
    for line in looking.raised(project, new, anew=anew):
        get_run_logger().warning("looks: %s", line, **told())
    run.changed |= looking.begin(project, new, anew=anew)
    run(*until_decided)
    while any(project.looks(d) for d in new):
        look = looking.last_look(project, new)
        get_run_logger().info("%s", look.line, **told(f"look {look.number}"))
        if not look.undecided:
            kept.forget(project)
            break
        changed = looking.go_on(project, look.undecided)
        run.changed |= changed
        run(*looking.further_stages(project, new, changed))
    run(last)


def open_project(root: str | None) -> Project:
    """The project a flow runs in, with the environment of this process prepared for its stages.

    The run labels itself with its process, and marks those that were killed as crashed. It does not fail
    because Prefect takes no such note.
    """
    log_plainly()
    project = Project.find(Path(root) if root else None)
    env.prepare(project.root)
    log = get_run_logger()
    try:
        crashed.label_run(project.root)
        for name in crashed.mark_crashed(project.root):
            log.warning("run %s was killed: it is marked as crashed", name, **told())
    except (PrefectException, HTTPError) as error:
        log.warning("runs that were killed are not marked: %s", type(error).__name__, **told())
    return project


def same(
    dimension: str, champion: Champion, weight: float | Literal["tuned"], guidance: Guidance = "sum"
) -> Decision:
    """Nothing to decide: the trained ARM is the version in use, byte for byte. `weight` is of params.yaml."""
    reasons = [
        f"{dimension}: the adapter {champion.adapter_sha256[:12]} is version {champion.version} already"
    ]
    if not isinstance(weight, str) and champion.weight != weight:
        reasons.append(
            f"{dimension}: it stays at weight {champion.weight:g}; "
            f"the {weight:g} of params.yaml is for the next ARM"
        )
    if champion.guidance != guidance:
        reasons.append(
            f"{dimension}: it stays with guidance {champion.guidance}, which its weight was tuned for; "
            f"the {guidance} of params.yaml is for the next ARM"
        )
    return Decision(
        dimension,
        "same",
        reasons,
        champion.adapter_sha256,
        champion,
        weight=champion.weight,
        guidance=champion.guidance,
    )


def _same_champion(dimension: str, now: Champion | None, then: Champion | None) -> None:
    """Refuse a decision against another champion than the one whose answers this run may have judged."""
    if now != then:
        versions = [f"version {c.version}" if c else "the base model" for c in (then, now)]
        raise StaleDecision(
            f"{dimension}: the champion was {versions[0]} when this run began and is {versions[1]} now",
            hint="somebody promoted or rolled back in the meantime; measure against the new one: genarm run",
        )


class ChangedStages:
    """Runs stages in order; DVC is called only for a stage that changed, or that follows one that ran."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.changed = set(dvc.status(project.root))
        self.ran: set[str] = set()

    def __call__(self, *names: str) -> None:
        """Run these stages where they have to run, those that have a pool on it."""
        pools = self.project.params.pools
        for batch in in_batches(names, pools):
            due = [name for name in batch if self.ran or name in self.changed]
            sent = {name: pool for name in due if (pool := pools.of(name))}
            done = run_on_pools(self.project, sent) if sent else {}
            for name in batch:
                if name in due:
                    outcome = done.get(name) or tasks.stage(self.project, name)
                    if outcome != "unchanged":
                        self.ran.add(name)
                elif name != dvc.POINTER:
                    title = title_of(name)
                    get_run_logger().info("%s: unchanged", title, **told(title))
