"""The unit `table`: results as JSON, as a Markdown table, and as one self-contained page."""

from collections.abc import Sequence

from genarm.experiments.load import Experiment
from genarm.experiments.page import write_page
from genarm.experiments.tables import (
    MARKED,
    MODEL_COLUMNS,
    Results,
    cells,
    columns,
    gathered,
    interval,
    model_cells,
)
from genarm.system.files import write_json, write_text


def write_results(experiment: Experiment) -> None:
    """results.json, table.md and index.html. The same files of the units give the same bytes."""
    results, folder = gathered(experiment), experiment.place.results
    write_json(folder / "results.json", results)
    write_text(folder / "table.md", markdown(results))
    write_page(folder / "index.html", results)


def markdown(results: Results) -> str:
    """The table and the claims as Markdown."""
    names = columns(results)
    lines = [f"# {results.title or results.name}", ""]
    lines.append(
        f"{results.base}, {results.prompts} prompts, training seeds {', '.join(map(str, results.seeds))}. "
        "Intervals are 95%, over prompts and training seeds; LC: if both were equally long; gain: score "
        "above the base's on the same prompts, in standard deviations of the base's scores; adjusted p: by "
        "Holm over all rows that are compared with the same one; predicted: tokens read a token by the "
        "method's definition, without prompts; KL: to the base, in nats a token, of the best of n a bound a "
        "response."
    )
    judged = "; ".join(
        f"{column}: {who}" + (" (made the labels)" if column in results.marked else "")
        for column, who in results.judges.items()
    )
    lines += ["", f"Judges: {judged}.", ""]
    lines += _table(names, [cells(results, row) for row in results.rows])
    lines += ["", MARKED] if results.marked else []
    if results.claims:
        claims = [[f"{c.subject} {c.kind} {c.other}", c.verdict, c.why] for c in results.claims]
        lines += ["", *_table(["claim", "verdict", "why"], claims)]
    if results.models:
        told = (
            "Models: how often each prefers the chosen response, beside what preferring the longer one gets."
        )
        lines += ["", told, "", *_table(MODEL_COLUMNS, [model_cells(model) for model in results.models])]
    if results.fronts:
        lines += [
            "",
            f"Hypervolume above ({results.reference_point:g}, {results.reference_point:g}), by split halves, "
            "as the best worst dimension:",
            "",
        ]
        lines += _table(
            ["row", "judge", "points", "hypervolume", "of all points", "best worst dimension"],
            [
                [f.row, f.judge, f.counted, *map(interval, (f.hypervolume, f.of_all, f.worst))]
                for f in results.fronts
            ],
        )
    if results.notes:
        lines += ["", *(f"- {note}" for note in results.notes)]
    return "\n".join(lines) + "\n"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
