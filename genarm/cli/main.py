"""The command line: one command a verb, no logic in it."""

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genarm.cli.init import init, options
from genarm.errors import Busy, GenarmError, StaleDecision, Unreachable
from genarm.system import env
from genarm.types import Side

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.callback()(options)
app.command()(init)
registry_app = typer.Typer(no_args_is_help=True, help="Versions, champions, promotion and rollback.")
app.add_typer(registry_app, name="registry")

out, err = Console(), Console(stderr=True)
Json = Annotated[bool, typer.Option("--json", help="print JSON, for machines")]
Dimension = Annotated[str, typer.Argument(help="a preference dimension of params.yaml")]
EXIT = {StaleDecision: 3, Busy: 4}  # 1: any other error; 2: wrong usage


def root() -> Path:
    """The project that the command runs in, with its environment prepared."""
    folder = env.project_root()
    env.prepare(folder)
    return folder


def flow_root() -> Path:
    """The project, for a command that runs a flow. Raises Unreachable where its Prefect server is away."""
    project = root()
    from genarm.doctor import servers

    for finding in servers.prefect(project):
        if finding.status == "fail":
            raise Unreachable(finding.detail, hint=finding.fix)
    return project


def show(value: Any, as_json: bool) -> None:
    """A result on standard output, for a person or a machine."""
    from genarm.system.files import to_json

    if as_json:
        print(to_json(value))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        table = Table(*value[0], show_edge=False, pad_edge=False)
        for row in value:
            table.add_row(*(", ".join(v) if isinstance(v, list) else str(v) for v in row.values()))
        out.print(table)
    else:
        out.print(value)


@app.command()
def pairs(as_json: Json = False) -> None:
    """Check the preference data, split it by prompt, set aside what is malformed."""
    from genarm.pipeline import stages

    show(stages.pairs(root()), as_json)


@app.command()
def train(dimension: Dimension, as_json: Json = False) -> None:
    """Fine-tune the ARM of one dimension."""
    from genarm.pipeline import stages

    show(stages.train(root(), dimension), as_json)


@app.command()
def accuracy(
    dimension: Dimension,
    file: Annotated[Path, typer.Argument(help="preference pairs in any known format", exists=True)],
    as_json: Json = False,
) -> None:
    """How often the trained ARM prefers the chosen response, beside "longer is chosen"."""
    from genarm.operations.registry import accuracy as measure

    show(measure(root(), dimension, file.resolve()), as_json)


@app.command()
def respond(
    side: Annotated[Side, typer.Argument(help="who answers")],
    dimension: Annotated[str | None, typer.Argument(help="whose challenger or champion")] = None,
    as_json: Json = False,
) -> None:
    """Answer the evaluation prompts."""
    from genarm.pipeline import stages

    answers = stages.respond(root(), side, dimension)
    show(answers if as_json else f"{len(answers)} responses", as_json)


@app.command()
def judge(dimension: Dimension, as_json: Json = False) -> None:
    """Compare challenger, champion and base on every dimension."""
    from genarm.pipeline import stages

    verdicts = stages.judge(root(), dimension)
    show(verdicts if as_json else f"{len(verdicts)} verdicts", as_json)


@app.command()
def decide(as_json: Json = False) -> None:
    """Promote, hold, reject or same: the decision of every dimension, with its reasons."""
    from genarm.pipeline import stages
    from genarm.report.closing import decisions_table

    decisions = stages.decide(root())
    show(decisions if as_json else decisions_table(decisions), as_json)


@app.command()
def report() -> None:
    """Write the report as HTML, Markdown and JSON."""
    from genarm.pipeline import stages

    out.print(stages.report(root()), soft_wrap=True)  # a path that is cut in two cannot be opened


@app.command()
def run(
    promote: Annotated[bool, typer.Option(help="carry the decision out, or only report it")] = True,
) -> None:
    """The whole pipeline, once: preference data in, promotion decision out."""
    project = flow_root()
    from genarm.flows.align import align

    align(root=str(project), promote=promote)


@app.command()
def plan(as_json: Json = False) -> None:
    """Say which stages would run, and why."""
    from genarm.pipeline.plan import plan as make
    from genarm.pipeline.plan import render

    steps = make(root())
    show(steps if as_json else render(steps), as_json)


@app.command()
def data(source: Annotated[str, typer.Argument(help="path, glob, URL, or hf://owner/name@revision")]) -> None:
    """Make a source the version of the preference data."""
    project = flow_root()
    from genarm.flows.version_data import version_data

    version_data(source, root=str(project))


@app.command()
def synthesize() -> None:
    """Make the embedded preference data in seed/ again, byte for byte."""
    from genarm.synthesis.seed import write_seed

    out.print(write_seed(root()))


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option(help="also ask DVC and MLflow, which takes seconds")] = False,
    as_json: Json = False,
) -> None:
    """Examine the set-up; every finding names its fix."""
    from genarm.doctor import examine, render

    findings = examine(root(), deep=deep)
    show(findings if as_json else render(findings), as_json)
    if any(f.status == "fail" for f in findings):
        raise typer.Exit(1)


@app.command()
def chat(
    weights: Annotated[str, typer.Option(help="such as positive=2,plain=1; their own by default")] = "",
    once: Annotated[str | None, typer.Option(help="answer this and stop")] = None,
    as_json: Json = False,
) -> None:
    """Talk to base and champions, side by side with the base alone."""
    from genarm.chat.terminal import run_chat

    run_chat(root(), weights, once=once, as_json=as_json)


@registry_app.command("list")
def registry_list(as_json: Json = False) -> None:
    """Every version of every dimension, with its aliases."""
    from genarm.operations.registry import versions

    show(versions(root()), as_json)


@registry_app.command("show")
def registry_show(
    dimension: Dimension,
    version: Annotated[str, typer.Argument(help="a number or an alias")] = "champion",
    as_json: Json = False,
) -> None:
    """One version: metrics, lineage, trail."""
    from genarm.operations.registry import version as find

    show(find(root(), dimension, version), as_json)


@registry_app.command("promote")
def registry_promote(
    dimension: Dimension,
    version: Annotated[int | None, typer.Option(help="another than the last decision's")] = None,
    force: Annotated[str | None, typer.Option(help="the reason to act against the decision")] = None,
) -> None:
    """Carry the last decision of a dimension out by hand, or choose a version and say why."""
    from genarm.operations.registry import promote

    out.print(promote(root(), dimension, version, force or ""))


@registry_app.command("check")
def registry_check() -> None:
    """Compare mlflow/champions.json with the aliases; exit code 1 where they differ."""
    from genarm.operations.registry import drift

    differences = drift(root())
    for line in differences or ["mlflow/champions.json agrees with the registry"]:
        out.print(line)
    if differences:
        raise typer.Exit(1)


@registry_app.command("rollback")
def registry_rollback(
    dimension: Dimension,
    reason: Annotated[str, typer.Option(help="goes on the record and blocks the version")],
    to: Annotated[int | None, typer.Option(help="version; the previous one by default")] = None,
) -> None:
    """Put the previous champion back, and block the present one."""
    from genarm.operations.registry import rollback

    out.print(rollback(root(), dimension, reason, to))


@registry_app.command("reconcile")
def registry_reconcile() -> None:
    """Finish or undo what a crash left half done, and write mlflow/champions.json anew."""
    from genarm.operations.registry import reconcile

    for line in reconcile(root()):
        out.print(line)


def main() -> None:
    """Run a command; an expected error is one line and an exit code, `--debug` shows where it came from."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except GenarmError as error:
        if debug:
            raise
        _explain(error.message, error.hint)
        sys.exit(EXIT.get(type(error), 1))
    except OSError as error:  # a read-only folder, a full disk
        if debug or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
            raise
        where = f"{error.filename}: " if error.filename else ""
        _explain(f"{where}{error.strerror}", "check its permissions and the free space, then run again")
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("[bold red]stopped[/]: nothing is lost; the same command goes on where it was")
        sys.exit(130)


def _explain(message: str, hint: str) -> None:
    err.print("[bold red]error[/]:", escape(message), highlight=False, soft_wrap=True)
    if hint:
        err.print("[bold]hint[/]:", escape(hint), highlight=False, soft_wrap=True)
