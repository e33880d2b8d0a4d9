"""The stage `decide`: verdicts to scorecards and decisions."""

from dataclasses import replace

from genarm.config import JudgeConfig
from genarm.evaluation.rule import decide as apply_rule
from genarm.evaluation.scorecard import metrics, score
from genarm.evaluation.standing import standings
from genarm.models.arm import adapter_hash
from genarm.pipeline.looks import looks_so_far
from genarm.pipeline.project import Project
from genarm.pipeline.verify import verify_decision
from genarm.system.files import read_rows, write_json
from genarm.types import Champion, Decision, Scorecard, Verdict


def decide(project: Project) -> list[Decision]:
    """The decision of every dimension.

    All dimensions are decided together, since they share one chance of a false promotion. Raises
    PipelineError where a file that they are decided on, or its source, is not what DVC recorded.
    """
    verify_decision(project, made=False)
    layout, params, incumbents = project.layout, project.params, project.incumbents()
    scorecards = [_scorecard(project, d, incumbents.get(d)) for d in params.dimensions]
    decisions = [_with_use(project, d) for d in apply_rule(scorecards, params.decide)]
    write_json(layout.scorecards, {s.dimension: s for s in scorecards})
    write_json(layout.metrics, {s.dimension: metrics(s) for s in scorecards})
    write_json(layout.decisions, {d.dimension: d for d in decisions})
    return decisions


def _scorecard(project: Project, dimension: str, champion: Champion | None) -> Scorecard:
    """What was measured. It is empty for an ARM in use: no run keeps the responses of one up to date."""
    trained = adapter_hash(project.layout.arm(dimension))
    if champion is not None and champion.adapter_sha256 == trained:
        return Scorecard(dimension, trained, champion, [], [])
    verdicts = read_rows(project.layout.verdicts(dimension), Verdict)
    found = standings(verdicts, project.judge_checks(), _judges(project))
    looks = looks_so_far(project, dimension)
    card = score(dimension, trained, champion, project.responses(dimension), verdicts, found, looks=looks)
    tuned = project.tuned(dimension)
    return card if tuned.within_limits else replace(card, no_weight=tuned.why)


def _with_use(project: Project, decision: Decision) -> Decision:
    """The decision with what the challenger was measured at, which is what a promotion serves it at."""
    same = decision.champion if decision.outcome == "same" else None
    use = same or project.tuned(decision.dimension)
    return replace(decision, weight=use.weight, guidance=use.guidance)


def _judges(project: Project) -> dict[tuple[str, bool], JudgeConfig]:
    """Every judge by its dimension and whether it is the held-out one."""
    dimensions = project.params.dimensions.items()
    held_out = {(d, True): config.held_out for d, config in dimensions if config.held_out}
    return {**{(d, False): config.judge for d, config in dimensions}, **held_out}
