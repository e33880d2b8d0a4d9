"""What an experiment counts, and the table of all experiments: for a terminal, as Markdown, as flat JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.table import Table

COLUMNS = ("tried", "lost", "double", "crashed", "hung", "silent")
LEGEND = {
    "tried": "faults that were made",
    "lost": "what was reported done is not there after recovery: row, version, decision, promotion, data",
    "double": "done twice: two versions of one adapter, two rollbacks for one command, a row twice",
    "crashed": "an error without a way out: a Python traceback, or a message without a hint",
    "hung": "no end, and no word about the fault, within the bound that the experiment states",
    "silent": "a fault whose content was used, or a row that disappeared, without a word",
}


@dataclass(slots=True)
class Counts:
    """The row of one experiment. `notes` says of each count how it came about; `kills` are SIGKILLs."""

    tried: int = 0
    lost: int = 0
    double: int = 0
    crashed: int = 0
    hung: int = 0
    silent: int = 0
    kills: int = 0
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    def note(self, column: str, what: str) -> None:
        """Count one in a column, and remember what it was."""
        setattr(self, column, getattr(self, column) + 1)
        self.notes.append(f"{column}: {what}")

    def values(self) -> dict[str, int]:
        """The columns of the table."""
        return {column: getattr(self, column) for column in COLUMNS}

    @property
    def failed(self) -> bool:
        return any(value for column, value in self.values().items() if column != "tried")


Figures = Mapping[str, Counts]


def flat(figures: Figures) -> dict[str, int]:
    """`<experiment>_<column>` for all that were run, and `kills`, of all together."""
    cells = {
        f"{name}_{column}": value
        for name, counts in figures.items()
        if not counts.skipped
        for column, value in counts.values().items()
    }
    return cells | {"kills": sum(counts.kills for counts in figures.values())}


def table(figures: Figures, titles: Mapping[str, str]) -> Table:
    """A line an experiment."""
    shown = Table(title="faults", title_justify="left")
    shown.add_column("experiment")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for name, counts in figures.items():
        cells = [counts.skipped] if counts.skipped else [str(value) for value in counts.values().values()]
        shown.add_row(titles[name], *cells)
    return shown


def markdown(figures: Figures, titles: Mapping[str, str]) -> str:
    """The table as the documentation shows it."""
    lines = ["| experiment | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    for name, counts in figures.items():
        values = [counts.skipped] + [""] * 5 if counts.skipped else map(str, counts.values().values())
        lines.append(f"| {titles[name]} | " + " | ".join(values) + " |")
    return "\n".join(lines)
