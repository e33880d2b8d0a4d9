"""The result of `genarm judge-check` for a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from genarm.operations.judge_check import PASS, CheckedFile, Judged
from genarm.system.counted import counted
from genarm.types import Agreement

COLUMNS = ("alike", "first", "unread", "ties", "longer", "r")
KEY = (
    "alike: judged alike in both orders; first: prefers the response shown first; longer: prefers the "
    "longer response; r: correlation of preference and length. A tie counts one half."
)


def table(checked: CheckedFile) -> Table:
    """One row a judge, and one below it for each subset."""
    drawn = Table(box=None, show_edge=False, pad_edge=False)
    drawn.add_column("judge", overflow="fold")
    drawn.add_column("pairs", justify="right", no_wrap=True)
    drawn.add_column("agreement", no_wrap=True)
    for name in COLUMNS:
        drawn.add_column(name, justify="right", no_wrap=True)
    for judged in checked.judges:
        drawn.add_row(Text(_name(judged), "bold" if judged.role else ""), *_cells(judged.agreement))
        for subset, found in judged.subsets.items():
            drawn.add_row(f"  {subset or '(none)'}", *_cells(found))
    return drawn


def heading(checked: CheckedFile) -> str:
    """What the file holds: pairs, prompts, the start of its hash, and the rows that were refused."""
    prompts = max((j.agreement.prompts for j in checked.judges), default=0)
    pairs = f"{counted(checked.pairs, 'pair')} of {counted(prompts, 'prompt')}"
    told = f"{checked.file}: {pairs}, sha256 {checked.sha256[:12]}"
    if checked.refused:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in checked.refused.items())
        told += f"; {counted(sum(checked.refused.values()), 'row')} refused: {reasons}"
    return told


def verdict_lines(checked: Sequence[CheckedFile]) -> list[str]:
    """Pass or fail of each judge of the dimension, a line a file, and what comes of all of them."""
    own = [(file, judged) for file in checked for judged in file.judges if judged.role]
    lines = [f"{_word(j)}  {j.role} {j.judge}: {_why(j, file.file)}" for file, j in own]
    for role in dict.fromkeys(judged.role for _, judged in own):
        failed = [file.file for file, judged in own if judged.role == role and judged.verdict != PASS]
        if failed:
            lines.append(f"the {role} is not to be relied on: it fails on {', '.join(failed)}")
        elif len(checked) > 1:
            lines.append(f"the {role} passes on all {len(checked)} files")
    return lines


def _word(judged: Judged) -> str:
    return "pass" if judged.verdict == PASS else "fail"


def _why(judged: Judged, file: str) -> str:
    if judged.verdict == PASS:
        return f"agreement with people {judged.agreement.accuracy} on {file} exceeds 0.5"
    return judged.verdict


def _name(judged: Judged) -> str:
    return f"{judged.name} (held out)" if judged.role == "held-out judge" else judged.name


def _cells(found: Agreement) -> list[str]:
    asked, (low, high) = found.accuracy.n + found.unread, found.accuracy.interval
    if not found.accuracy.n:  # nothing was read, so nothing was measured
        return [str(asked), "", "", "", "100%" if asked else "", "", "", ""]
    return [
        str(asked),
        f"{found.accuracy.value:.3f} [{low:.2f}, {high:.2f}]",
        f"{found.consistency:.2f}",
        f"{found.first:.2f}",
        f"{found.unread / asked:.0%}" if asked else "",
        f"{found.ties:.0%}",
        "" if found.longer is None else f"{found.longer:.2f}",
        "" if found.length_correlation is None else f"{found.length_correlation:+.2f}",
    ]
