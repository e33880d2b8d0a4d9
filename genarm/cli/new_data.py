"""`genarm refresh` and `genarm data`: what is new comes in, or a person answers for it."""

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from genarm.cli.console import Json, err, flow_root, out, project, run_root, show
from genarm.cli.runs import data, interrupt_stays_one, require_published

if TYPE_CHECKING:
    from genarm.intake.take_in import News

SOURCE = "source"  # the command that a bare SOURCE is an argument of
Reason = Annotated[str, typer.Option(help="is kept in the log of the run that waits")]


class SourceOrVerb(TyperGroup):
    """A group whose first word may also be a source: `genarm data pairs.jsonl` as before it had verbs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command that takes a source before a word that is no verb."""
        word = next((arg for arg in args if not arg.startswith("-")), None)
        if word is not None and word not in self.commands:
            args = [SOURCE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=SourceOrVerb,
    no_args_is_help=True,
    subcommand_metavar="SOURCE | approve | reject",
    help="Make SOURCE (a path, glob, URL, or hf://owner/name@revision) the version of the preference data; "
    "or answer for data that waits.",
)
app.command(SOURCE, hidden=True)(data)


def refresh(
    run: Annotated[bool, typer.Option(help="afterwards run the pipeline, or only bring in data")] = True,
    promote: Annotated[bool, typer.Option(help="carry the decision out, or only report it")] = True,
    as_json: Json = False,
) -> None:
    """Bring in what changed at the sources of params.yaml, say what came in, and run the pipeline."""
    if not run and (known := _nothing_to_fetch()):
        show(known if as_json else known.sources, as_json)
        if not as_json:
            _conclude(known)
        return
    folder = run_root() if run and _has_data() else flow_root()
    from genarm.flows import temporary_server

    temporary_server.start()
    from genarm.flows import run_console
    from genarm.flows.refresh import refresh as flow
    from genarm.report.closing import decisions_table

    run_console.install()
    with interrupt_stays_one():
        done = flow(root=str(folder), promote=promote, run=run)
    if as_json:
        show(done, as_json)
    else:
        out.print()
        if done.decisions:
            show(decisions_table(done.decisions), as_json)
            out.print()
        _conclude(done.news)
    if run and promote and project().params.publish.is_asked_for:
        require_published(folder)


@app.command()
def approve(reason: Reason = "", as_json: Json = False) -> None:
    """Take in the data that waits, although it is worse than the version before."""
    _answer(True, reason, as_json)


@app.command()
def reject(reason: Reason = "", as_json: Json = False) -> None:
    """Drop the data that waits; its sources are not fetched again until they change."""
    _answer(False, reason, as_json)


def _answer(take: bool, reason: str, as_json: bool) -> None:
    here = project()
    from genarm.flows.refresh import answer_held

    waited, version, not_told = answer_held(here, take=take, who=getpass.getuser(), reason=reason)
    if not_told:
        err.print(not_told, markup=False, soft_wrap=True)
    if as_json:
        show({"approved": take, "version": version, "waited": waited}, True)
        return
    for line in waited.reasons:
        out.print(line, soft_wrap=True, highlight=False)
    last = (
        f"approved: data version {version}; next: genarm run" if take else "rejected: the data in use stays"
    )
    out.print(last, soft_wrap=True, highlight=False)


def _nothing_to_fetch() -> "News | None":
    """What is known by asking alone, for which no flow has to run; None where there is something to fetch."""
    here = project()
    from genarm.flows import secret_source
    from genarm.intake.take_in import ask_only

    return ask_only(here.root, here.params, secret_source.whole)


def _conclude(news: "News") -> None:
    for line in news.told:
        err.print(line, markup=False, soft_wrap=True)
    out.print(f"data: {news.outcome}", soft_wrap=True, highlight=False)
    if news.held:
        out.print("the data in use stays; answer by: genarm data approve, or genarm data reject")
    elif news.version:
        out.print("to keep it: git add data.dvc && dvc push")


def _has_data() -> bool:
    root = project().root
    return any((root / name).exists() for name in ("data", "data.dvc"))
