"""The result of `genarm judge-check` for a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from genarm.operations.judge_check import CheckedFile, Judged
from genarm.types import Agreement

COLUMNS = ("agreement", "consistent", "says first", "unread", "ties", "prefers longer")


def table(checked: CheckedFile) -> Table:
    """One row a judge, and one below it for each subset."""
    drawn = Table(show_edge=False, pad_edge=False)
    drawn.add_column("judge", overflow="fold")
    for name in COLUMNS:
        drawn.add_column(name, justify="left" if name == "agreement" else "right", no_wrap=True)
    for judged in checked.judges:
        style = "bold" if judged.role else ""
        drawn.add_row(Text(_name(judged), style), *_cells(judged.agreement))
        for subset, found in judged.subsets.items():
            drawn.add_row(Text(f"  {subset or '(none)'}"), *_cells(found))
    return drawn


def heading(checked: CheckedFile) -> str:
    """What the file holds: pairs, prompts, the start of its hash, and the rows that were refused."""
    prompts = max((j.agreement.prompts for j in checked.judges), default=0)
    told = f"{checked.file}: {checked.pairs} pairs of {prompts} prompts, sha256 {checked.sha256[:12]}"
    if checked.refused:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in checked.refused.items())
        told += f"; {sum(checked.refused.values())} rows refused: {reasons}"
    return told


def verdict_lines(checked: Sequence[CheckedFile]) -> list[str]:
    """Pass or fail of each judge of the dimension, a line a file."""
    return [
        f"{'pass' if not why else 'fail'}  {judged.role} on {file.file}: {why or judged.agreement.accuracy}"
        for file in checked
        for judged in file.judges
        if judged.role
        for why in ["" if judged.verdict == "pass" else judged.verdict]
    ]


def _name(judged: Judged) -> str:
    return f"{judged.judge} (held out)" if judged.role == "held-out judge" else judged.judge


def _cells(found: Agreement) -> list[str]:
    asked = found.accuracy.n + found.unread
    longer = "" if found.longer is None else f"{found.longer:.2f}"
    if found.length_correlation is not None:
        longer += f" (r {found.length_correlation:+.2f})"
    return [
        str(found.accuracy),
        f"{found.consistency:.2f}",
        f"{found.first:.2f}",
        f"{found.unread / asked:.0%}" if asked else "",
        f"{found.ties:.0%}",
        longer,
    ]
