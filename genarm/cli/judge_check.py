"""The command that measures judges against people."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from genarm.cli.console import Dimension, out, project

WIDEST = 140  # columns that a table may take up, also on a smaller terminal: names are not cut in two


def judge_check(
    dimension: Dimension,
    files: Annotated[
        list[Path],
        typer.Argument(help="human preference pairs in any format", exists=True, dir_okay=False),
    ],
    by: Annotated[str | None, typer.Option(help="a column whose values are measured apart, too")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all numbers to this file")] = None,
) -> None:
    """How far the judges of a dimension agree with people, beside judges that know nothing of the task."""
    from genarm.operations.judge_check import judge_check as measure
    from genarm.operations.judge_check_table import KEY, heading, table, verdict_lines
    from genarm.system.files import write_json

    here = project()
    earlier = here.judge_checks().get(dimension) or []
    checked = measure(here, dimension, [file.resolve() for file in files], by)
    if json_file is not None:
        write_json(json_file.resolve(), checked)
    wide = Console(width=max(out.width, WIDEST), markup=False, emoji=False)
    for file in checked:
        out.print(heading(file), highlight=False, soft_wrap=True)
        wide.print(table(file))
        out.print()
    out.print(KEY, highlight=False)
    out.print()
    for line in verdict_lines(checked):
        out.print(line, highlight=False, soft_wrap=True)
    noted = here.layout.judge_checks.name
    known = {file.sha256 for file in checked}
    gone = dict.fromkeys(a.file for check in earlier for a in check.agreements if a.sha256 not in known)
    if gone:
        told = f"this takes the place of the check on {', '.join(gone)}: to keep both, name all files at once"
        out.print(f"\nwarning: {told}", highlight=False, soft_wrap=True)
    last = f"noted in {noted}, on which the decision depends; to keep it: git add {noted} && git commit"
    out.print(f"\n{last}", highlight=False, soft_wrap=True)
