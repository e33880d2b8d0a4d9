"""`genarm chat`: base and guided answers side by side, for a person at a terminal or a program at a pipe."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from genarm import models
from genarm.chat.conversation import Chat, Exchange, parse_weights, plain, told
from genarm.config import load_params
from genarm.errors import ConfigError, GenarmError, ModelError
from genarm.models import arm as arms
from genarm.pipeline import stages
from genarm.system.layout import Layout

HELP = """\
/weights positive=3,plain=1   guide with these ARMs at these weights, and with no other
/weights                      show the weights in use
/reset                        forget the conversation
/help                         this text
/quit                         leave (or end of input)"""


SHIFT = 1.0  # nats by which a token's log-probability moves before its colour says so


def arms_in_use(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The champion of each dimension, fetched, or its challenger while there is none; and a sentence on each.

    Raises ModelError where no dimension has either.
    """
    layout, dimensions = Layout(root), load_params(Layout(root).params).dimensions
    champions = stages.read_champions(root) if layout.champions.exists() else {}
    folders, said = {}, []
    for dimension in dimensions:
        if champion := champions.get(dimension):
            from genarm import registry

            folders[dimension] = registry.connect(root).fetch(
                dimension, champion, layout.champion_arm(dimension)
            )
            said.append(f"{dimension}: the champion, version {champion.version}")
        elif (layout.arm(dimension) / arms.CARD).exists():
            folders[dimension] = layout.arm(dimension)
            said.append(f"{dimension}: no champion yet, so the challenger in artifacts/arms/{dimension}")
        else:
            said.append(f"{dimension}: neither champion nor challenger")
    if not folders:
        raise ModelError("there is no ARM to talk to yet", hint="train them first: genarm run")
    return folders, said


def open_chat(root: Path, folders: Mapping[str, Path], weights: str) -> Chat:
    """Load base and ARMs. `weights` as parse_weights reads them; empty takes what each ARM was tuned for."""
    from genarm.decoding import load_decoder

    params = load_params(Layout(root).params)
    own = {name: arms.read_card(folder).weight for name, folder in folders.items()}
    chosen = parse_weights(weights, folders) if weights else own
    base = models.resolve(params.base.model, params.base.revision, params.base.chat_template)
    sampling = params.respond.sampling
    decoder = load_decoder(
        base,
        folders,
        dtype=params.base.dtype,
        strategy=sampling.strategy,
        batch_size=2,
        speculate=sampling.speculate,
        device_map=params.base.device_map,
    )
    return Chat(decoder, models.load_tokenizer(base), sampling, tuple(folders), chosen)


def run_chat(
    root: Path,
    weights: str = "",
    *,
    once: str | None = None,
    as_json: bool = False,
    folders: Mapping[str, Path] | None = None,
) -> None:
    """Answer `once`, or line by line from standard input; as panels, or as one JSON object a line.

    Answers go to standard output, all else to standard error. `folders` takes ARMs other than those in use.
    """
    out, err = Console(), Console(stderr=True)
    if folders is None:
        folders, said = arms_in_use(root)
        for line in said:
            err.print(Text(line, style="dim"))
    with err.status("loading the models"):
        chat = open_chat(root, folders, weights)
    if once is not None:
        _answer(chat, once, out, err, as_json)
        return
    err.print(Text(f"guided by {told(chat.weights)}; /help lists the commands", style="dim"))
    for line in _lines(err):
        if line.startswith("/"):
            try:
                done = obey(chat, line)
            except ConfigError as error:
                done = str(error)
            if done is None:
                return
            err.print(Text(done, style="dim"))
        elif line:
            try:
                _answer(chat, line, out, err, as_json)
            except GenarmError as error:
                err.print(Text(str(error), style="red"))
            except KeyboardInterrupt:
                err.print(Text("stopped; the conversation is as it was before", style="dim"))


def obey(chat: Chat, line: str) -> str | None:
    """Carry out a /command and say what was done; None means leave. Raises ConfigError for bad weights."""
    command, _, rest = line.partition(" ")
    if command == "/quit":
        return None
    if command == "/reset":
        chat.history = []
        return "the conversation is forgotten"
    if command == "/weights":
        if rest.strip():
            chat.weights = parse_weights(rest, chat.names)
        return f"guided by {told(chat.weights)}"
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
    guide = f"guided by {told(chat.weights)}"
    if as_json:
        print(json.dumps(plain(chat.say(text)), ensure_ascii=False), flush=True)
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
    """Base left, guided right."""
    both = Table.grid(expand=True)
    both.add_column(ratio=1)
    both.add_column(ratio=1)
    both.add_row(
        Panel(base, title="base", title_align="left"), Panel(guided, title=guide, title_align="left")
    )
    return both


def finished(exchange: Exchange) -> RenderableType:
    """Both answers, the guided one coloured where guidance acted, and how far it moved from the base."""
    both = side_by_side(Text(exchange.base.text), coloured(exchange), f"guided by {told(exchange.weights)}")
    tokens = len(exchange.base.tokens), len(exchange.guided.tokens)
    last = f"KL(guided || base) {exchange.guided.kl:.3f} nats a token; {tokens[0]} and {tokens[1]} tokens"
    return Group(both, Text(last, style="dim"))


def coloured(exchange: Exchange) -> Text:
    """The guided answer: green where the ARMs made a token likelier than the base has it, red where less."""
    text = Text()
    for piece in exchange.pieces:
        shift = piece.rewards.guided - piece.rewards.base if piece.rewards else 0.0
        text.append(piece.text, style="green" if shift > SHIFT else "red" if shift < -SHIFT else "")
    return text
