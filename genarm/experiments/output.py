"""The unit `table`: results as JSON, as a Markdown table, and as one self-contained page."""

from genarm.experiments.load import Experiment
from genarm.experiments.page import write_page
from genarm.experiments.tables import Results, cells, columns, gathered, interval
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
        "above the base's on the same prompts, in standard deviations of the base's scores."
    )
    judged = "; ".join(
        f"{column}: {who}" + (" (made the labels)" if column in results.marked else "")
        for column, who in results.judges.items()
    )
    lines += ["", f"Judges: {judged}.", ""]
    lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cells(results, row)) + " |" for row in results.rows]
    if results.claims:
        lines += ["", "| claim | verdict | why |", "|---|---|---|"]
        lines += [f"| {c.subject} {c.kind} {c.other} | {c.verdict} | {c.why} |" for c in results.claims]
    if results.fronts:
        lines += [
            "",
            f"Hypervolume above ({results.reference_point:g}, {results.reference_point:g}), by split halves:",
            "",
        ]
        lines += ["| row | judge | points | hypervolume | best worst dimension |", "|---|---|---|---|---|"]
        lines += [
            f"| {f.row} | {f.judge} | {len(f.points)} | {interval(f.hypervolume)} "
            f"| {max(p.worst for p in f.points):.2f} |"
            for f in results.fronts
        ]
    if results.notes:
        lines += ["", *(f"- {note}" for note in results.notes)]
    return "\n".join(lines) + "\n"
