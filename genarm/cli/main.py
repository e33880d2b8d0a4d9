"""The command line: one command a verb, no logic in it."""

import errno
import os
import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer
from rich.markup import escape

from genarm.cli import canary, feedback, new_data, registry
from genarm.cli.compare import compare
from genarm.cli.console import (
    Json,
    err,
    folder,
    project,
    root,
    show,
    show_findings,
)
from genarm.cli.export import export
from genarm.cli.gc import gc
from genarm.cli.init import init, options
from genarm.cli.judge_check import judge_check
from genarm.cli.lineage import lineage
from genarm.cli.params import params
from genarm.cli.publish import publish
from genarm.cli.runs import run
from genarm.cli.serve import serve
from genarm.cli.stages import accuracy, decide, judge, pairs, prompts, report, respond, train
from genarm.cli.status import status
from genarm.cli.train_judge import train_judge
from genarm.cli.tuning import front, tune
from genarm.cli.watch import watch
from genarm.errors import Busy, GenarmError, PipelineError, StaleDecision
from genarm.system.counted import counted
from genarm.system.redact import redact
from genarm.system.utf8 import ensure_utf8
from genarm.system.verbosity import Verbosity, keep_to, verbosity

EPILOG = (
    "Exit codes: 0 done, whatever was decided; 1 an error; 2 wrong usage; 3 the champion changed in the "
    "meantime; 4 another run or change is in progress; 130 stopped by Ctrl-C.\n\n"
    "-v, -q and --debug may also stand after the command."
)

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=EPILOG)
app.callback()(options)
app.command()(init)
app.command()(export)
app.command()(params)
app.command()(serve)
app.command("judge-check")(judge_check)
app.command()(gc)
app.command()(lineage)
app.add_typer(registry.app, name="registry")
app.add_typer(canary.app, name="canary")
app.add_typer(feedback.app, name="feedback")

LEVELS = {Verbosity.VERBOSE: {"-v", "--verbose"}, Verbosity.QUIET: {"-q", "--quiet"}}
GENERAL = {"--debug"}.union(*LEVELS.values())  # options of `genarm` itself
EXIT = {StaleDecision: 3, Busy: 4}  # 1: any other error; 2: wrong usage
STOPPED = 130

for stage in (pairs, prompts, train, tune, front, accuracy):
    app.command()(stage)
app.command("train-judge")(train_judge)
for command in (respond, judge, decide, report, run, compare, publish, status, watch):
    app.command()(command)


@app.command()
def plan(as_json: Json = False) -> None:
    """Say what would keep a run from ending well, then which stages would run, and why.

    Exit code 1 where a run would be refused.
    """
    from genarm.pipeline.plan import plan as make_plan
    from genarm.pipeline.plan import render
    from genarm.pipeline.preflight import check

    here = project()
    _ = here.params
    findings = check(here)
    show_findings(findings)
    stages = make_plan(here)
    show(stages if as_json else render(stages), as_json)
    if failed := sum(found.status == "fail" for found in findings):
        raise PipelineError(
            f"a run would be refused: {counted(failed, 'thing')} above would fail",
            hint="follow the hints above, then: genarm plan",
        )


app.command()(new_data.refresh)
app.add_typer(new_data.app, name="data")


@app.command()
def synthesize(as_json: Json = False) -> None:
    """Make the embedded preference data in seed/ again, byte for byte."""
    from genarm.synthesis.seed import write_seed

    made = write_seed(root())
    show({"made": made} if as_json else made, as_json)


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option(help="also ask DVC and MLflow, which takes seconds")] = False,
    as_json: Json = False,
) -> None:
    """Examine the set-up; every finding names its fix."""
    from genarm.doctor import examine, render

    findings = examine(folder(), deep=deep)
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

    run_chat(project(), weights, once=once, as_json=as_json)


def main() -> None:
    """Run a command; an expected error is one line and an exit code, `--debug` shows where it came from."""
    ensure_utf8()
    sys.excepthook = _unexpected
    sys.argv = [sys.argv[0], *_general_first(sys.argv[1:])]
    asked = set(sys.argv) & GENERAL
    debug = "--debug" in asked
    level = next((level for level, words in LEVELS.items() if asked & words), verbosity())
    keep_to(level)
    try:
        app()
    except GenarmError as error:
        if debug:
            raise
        _explain(error.message, error.hint)
        sys.exit(EXIT.get(type(error), 1))
    except OSError as error:  # a read-only folder, a full disk, a file or a program that is not there
        if debug or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
            raise
        _explain(*_in_words(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as end:
        if end.code == STOPPED:  # Typer makes that of an interrupt, without a word
            _stopped()
        raise


def _stopped() -> None:
    err.print("[bold red]stopped[/]: nothing is lost; the same command continues where it was")
    sys.exit(STOPPED)


def _general_first(words: list[str]) -> list[str]:
    """The words of a command line with the options of `genarm` itself first, wherever they were typed."""
    end = words.index("--") if "--" in words else len(words)
    general = [word for word in words[:end] if word in GENERAL]
    return [*general, *(word for word in words[:end] if word not in GENERAL), *words[end:]]


def _in_words(error: OSError) -> tuple[str, str]:
    """What an error of the operating system means, and the way out."""
    name = os.fsdecode(error.filename) if error.filename else ""
    if isinstance(error, FileNotFoundError):
        if os.sep in name:
            return f"no file at {name}", "run the stage that writes it: dvc repro"
        return f"the program {name!r} is not installed", f"install {name}, or add its folder to PATH"
    where = f"{name}: " if name else ""
    return f"{where}{error.strerror}", "check its permissions and the free space, then run again"


def _explain(message: str, hint: str) -> None:
    err.print("[bold red]error[/]:", escape(redact(message)), highlight=False, soft_wrap=True)
    if hint:
        err.print("[bold]hint[/]:", escape(redact(hint)), highlight=False, soft_wrap=True)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nobody foresaw, without the logins that its text may quote."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
    if not isinstance(error, GenarmError):
        sys.stderr.write("This is a fault of genarm: please report it with the lines above.\n")
