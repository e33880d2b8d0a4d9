"""`genarm chat`: base and guided answers side by side, for a person at a terminal or a program at a pipe."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from genarm.chat.conversation import Chat, Exchange, exchange_values, format_weights, parse_weights
from genarm.errors import ConfigError, GenarmError, ModelError
from genarm.models import load_tokenizer
from genarm.models.arm import CARD, read_card
from genarm.pipeline.project import Project
from genarm.types import ArmCard

HELP = """\
/weights positive=3,plain=1   guide with these ARMs at these weights, and with no other
/weights                      show the weights in use
/reset                        forget the conversation
/help                         this text
/quit                         leave (or end of input)"""

SHIFT = 1.0  # nats by which guidance has to move a token's log-probability for the token to be coloured


def arms_in_use(project: Project) -> tuple[dict[str, Path], list[str]]:
    """The champion of each dimension, fetched, or its challenger if there is none; and a sentence on each.

    Raises ModelError where no dimension has either.
    """
    layout, champions = project.layout, project.champions(missing_ok=True)
    folders: dict[str, Path] = {}
    sentences = []
    for dimension in project.params.dimensions:
        if champion := champions.get(dimension):
            from genarm.pipeline.registry_fetch import fetch_version
            from genarm.pipeline.served import best_of

            into = layout.champion_arm(dimension)
            folders[dimension] = fetch_version(project, dimension, champion, into)
            kind = f", {found}" if (found := best_of(folders[dimension])) else ""
            sentences.append(f"{dimension}: the champion, version {champion.version}{kind}")
        elif (layout.arm(dimension) / CARD).exists():
            folders[dimension] = layout.arm(dimension)
            sentences.append(f"{dimension}: no champion yet, so the challenger in artifacts/arms/{dimension}")
        else:
            sentences.append(f"{dimension}: neither champion nor challenger")
    if not folders:
        raise ModelError("there is no ARM to talk to yet", hint="train them first: genarm run")
    return folders, sentences


def open_chat(project: Project, folders: Mapping[str, Path], weights: str) -> Chat:
    """Load base and ARMs. `weights` is text for `parse_weights`; empty takes what each ARM was tuned for."""
    from genarm.pipeline.served import open_served

    params = project.params
    cards = {name: _tuned_card(project, name, folder) for name, folder in folders.items()}
    tuned = {name: card.weight for name, card in cards.items()}
    chosen = parse_weights(weights, folders) if weights else tuned
    sampling = params.respond.sampling
    decoder = open_served(
        project.base,
        folders,
        dtype=params.base.dtype,
        strategy=sampling.strategy,
        batch_size=2,
        speculate=sampling.speculate,
        device_map=params.base.device_map,
        contrast=any(card.guidance == "contrast" for card in cards.values()),
    )
    guidance = {name: card.guidance for name, card in cards.items()}
    return Chat(decoder, load_tokenizer(project.base), sampling, tuple(folders), chosen, guidance=guidance)


def _tuned_card(project: Project, name: str, folder: Path) -> ArmCard:
    """The card of an ARM with the strength that it was tuned for; a challenger's own is older than that."""
    card = read_card(folder)
    if folder != project.layout.arm(name) or not project.layout.tuned(name).is_file():
        return card
    tuned = project.tuned(name)
    return replace(card, weight=tuned.weight, guidance=tuned.guidance)


def run_chat(
    project: Project,
    weights: str = "",
    *,
    once: str | None = None,
    as_json: bool = False,
    folders: Mapping[str, Path] | None = None,
) -> None:
    """Answer `once`, or standard input line by line; as panels, or as one JSON object a line.

    Answers go to standard output, everything else to standard error. `folders` names other ARMs than those
    in use.
    """
    out, err = Console(), Console(stderr=True)
    if folders is None:
        folders, sentences = arms_in_use(project)
        for sentence in sentences:
            err.print(Text(sentence, style="dim"))
    with err.status("loading the models"):
        chat = open_chat(project, folders, weights)
    if once is not None:
        _answer(chat, once, out, err, as_json)
        return
    err.print(
        Text(
            f"guided by {format_weights(chat.weights, chat.guidance)}; /help lists the commands", style="dim"
        )
    )
    for line in _lines(err):
        if line.startswith("/"):
            try:
                answer = obey(chat, line)
            except ConfigError as error:
                answer = str(error)
            if answer is None:
                return
            err.print(Text(answer, style="dim"))
        elif line:
            try:
                _answer(chat, line, out, err, as_json)
            except GenarmError as error:
                err.print(Text(str(error), style="red"))
            except KeyboardInterrupt:
                err.print(Text("stopped; the conversation is as it was before", style="dim"))


def obey(chat: Chat, line: str) -> str | None:
    """Carry out a /command and return what to print, None to leave. Raises ConfigError for bad weights."""
    command, _, rest = line.partition(" ")
    if command == "/quit":
        return None
    if command == "/reset":
        chat.history = []
        return "the conversation is forgotten"
    if command == "/weights":
        if rest.strip():
            chat.weights = parse_weights(rest, chat.names)
        return f"guided by {format_weights(chat.weights, chat.guidance)}"
    return HELP if command == "/help" else f"no command {command}\n{HELP}"


def _lines(err: Console) -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin)
        return
    while True:
        try:
            yield err.input("[bold]you[/] ").strip()
        except EOFError:
            return


def _answer(chat: Chat, text: str, out: Console, err: Console, as_json: bool) -> None:
    guide = f"guided by {format_weights(chat.weights, chat.guidance)}"
    if as_json:
        print(json.dumps(exchange_values(chat.say(text)), ensure_ascii=False), flush=True)
    elif not out.is_terminal:
        with err.status("answering"):
            exchange = chat.say(text)
        out.print(finished(exchange))
    else:
        with Live(console=out, transient=True, refresh_per_second=12) as live:
            exchange = chat.say(
                text, lambda base, guided: live.update(side_by_side(Text(base), Text(guided), guide))
            )
        out.print(finished(exchange))


def side_by_side(base: Text, guided: Text, guide: str) -> Table:
    """The base's answer on the left, the guided one on the right."""
    both = Table.grid(expand=True)
    both.add_column(ratio=1)
    both.add_column(ratio=1)
    both.add_row(
        Panel(base, title="base", title_align="left"), Panel(guided, title=guide, title_align="left")
    )
    return both


def finished(exchange: Exchange) -> RenderableType:
    """Both answers, the guided one coloured where guidance acted, and how far it moved from the base."""
    both = side_by_side(
        Text(exchange.base.text),
        coloured(exchange),
        f"guided by {format_weights(exchange.weights, exchange.guidance)}",
    )
    tokens = len(exchange.base.tokens), len(exchange.guided.tokens)
    summary = f"KL(guided || base) {exchange.guided.kl:.3f} nats a token; {tokens[0]} and {tokens[1]} tokens"
    return Group(both, Text(summary, style="dim"))


def coloured(exchange: Exchange) -> Text:
    """The guided answer: green where the ARMs made a token more likely than the base does, red where less."""
    text = Text()
    for piece in exchange.pieces:
        shift = piece.rewards.guided - piece.rewards.base if piece.rewards else 0.0
        text.append(piece.text, style="green" if shift > SHIFT else "red" if shift < -SHIFT else "")
    return text
