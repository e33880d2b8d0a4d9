"""The stage `report`: everything a run measured, as HTML, Markdown and JSON."""

from collections.abc import Mapping
from pathlib import Path

from genarm.errors import DataError
from genarm.models.arm import read_card
from genarm.pipeline.project import Project
from genarm.report.build import ReportInput, build_report
from genarm.system.files import read_curves, read_json, read_rows
from genarm.types import Scorecard, Verdict


def report(project: Project, lineage: Mapping[str, str]) -> Path:
    """Write the report and return the path of its page. `lineage` is shown as it is handed in."""
    layout, dimensions = project.layout, project.params.dimensions
    scorecards = list(read_json(layout.scorecards, dict[str, Scorecard]).values())
    measured = [s.dimension for s in scorecards if s.comparisons]
    return build_report(
        ReportInput(
            decisions=list(project.decisions().values()),
            scorecards=scorecards,
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
            lineage=lineage,
        ),
        layout.report,
    )


def _verdicts(file: Path) -> list[Verdict]:
    if not (verdicts := read_rows(file, Verdict)):
        raise DataError(f"{file} holds no verdicts", hint="run its stage again: genarm judge")
    return verdicts
