"""The stage `report`: everything a run measured, as HTML, Markdown and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from genarm.errors import DataError
from genarm.evaluation.rule import conditions
from genarm.evaluation.scorecard import SIDES
from genarm.models.arm import read_card
from genarm.pipeline.project import Project
from genarm.report.build import build_report
from genarm.report.given import ReportInput, side_name
from genarm.system.files import read_curves, read_json, read_rows
from genarm.types import Scorecard, Verdict


def report(project: Project, lineage: Mapping[str, str]) -> Path:
    """Write the report and return the path of its page. `lineage` is shown as it is handed in."""
    layout, dimensions = project.layout, project.params.dimensions
    scorecards = list(read_json(layout.scorecards, dict[str, Scorecard]).values())
    asked = conditions(scorecards, project.params.decide)
    measured = [s.dimension for s in scorecards if s.comparisons]
    return build_report(
        ReportInput(
            decisions=list(project.decisions().values()),
            scorecards=scorecards,
            conditions={s.dimension: found for s, found in zip(scorecards, asked, strict=True)},
            cards={d: read_card(layout.arm(d)) for d in dimensions},
            train_metrics={d: read_json(layout.train_metrics(d), dict[str, float]) for d in dimensions},
            curves={d: read_curves(layout.train_curves(d)) for d in dimensions},
            prompts=project.prompts(),
            responses={d: project.responses(d) for d in measured},
            verdicts={d: _verdicts(layout.verdicts(d)) for d in measured},
            pair_stats={d: read_json(layout.pairs_stats(d), dict[str, object]) for d in dimensions},
            quarantine=[
                row for d in dimensions for row in read_rows(layout.quarantine(d), dict[str, object])
            ],
            weights={d: project.tuned(d).weight for d in measured},
            tuned={d: project.tuned(d) for d in measured},
            sampling=_sampling(project),
            respond_seconds=_respond_seconds(project, measured),
            lineage=lineage,
        ),
        layout.report,
    )


def _sampling(project: Project) -> dict[str, object]:
    """How all sides answered: the settings that decide which text is drawn, then those that were changed."""
    sampling = project.params.respond.sampling
    always = {"temperature", "top_p", "max_new_tokens", "seed"}
    shown = sampling.model_dump(mode="json", include=always | sampling.model_fields_set)
    return {"guidance": project.params.respond.guidance, **shown, "dtype": project.params.base.dtype}


def _respond_seconds(project: Project, dimensions: Sequence[str]) -> dict[str, float]:
    """The seconds that each side's answers took, as far as this machine noted them."""
    files = {
        side_name(d, side): project.layout.respond_cost(side, None if side == "base" else d)
        for d in dimensions
        for side in SIDES
    }
    return {name: read_json(f, dict[str, float])["seconds"] for name, f in files.items() if f.is_file()}


def _verdicts(file: Path) -> list[Verdict]:
    if not (verdicts := read_rows(file, Verdict)):
        raise DataError(f"{file} holds no verdicts", hint="run its stage again: genarm judge")
    return verdicts
