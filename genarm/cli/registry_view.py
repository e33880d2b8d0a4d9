"""Versions on a terminal: a table of all, and one with what, who, when, why, metrics, lineage and trail."""

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from genarm.system import metric_names as names
from genarm.types import Estimate

HASH, LENGTH = re.compile("^[0-9a-f]{20,}$"), 16  # as much of a hash as tells two apart; JSON has it all


def versions_table(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """One row a version: what it is for, how well it did against whom, and what became of it."""
    if not rows:
        return "no versions yet: genarm run"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("version", "win rate", "over", "p"):
        table.add_column(title, no_wrap=True)
    table.add_column("standing", min_width=10)
    table.add_column("made", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row['dimension']} {row['version']}",
            win_rate(row),
            _over(row["against"], base="the base"),
            _number(row[names.P_ADJUSTED]),
            ", ".join(row["aliases"]) or f"{row['state']}: {row['blocked']}".removesuffix(": "),
            _day(row["created"]),
        )
    return table


def version_view(shown: dict[str, Any]) -> RenderableType:
    """Everything about one version, the answer to most questions first."""
    aliases = f" ({', '.join(shown['aliases'])})" if shown["aliases"] else ""
    parts: list[RenderableType] = [
        Text(f"{shown['model']} version {shown['version']}{aliases}", style="bold"),
        Text(shown["standing"]),
    ]
    by = f" by {shown['created_by']}" if shown["created_by"] else ""
    parts.append(Text(f"Made on {_day(shown['created'])}{by}."))
    if decision := shown["decision"]:
        told = Text(f"{decision['outcome']}, against {_over(decision['against'])}")
        if decision["forced"]:
            told.append(f"; promoted by hand all the same, because: {decision['forced']}")
        reasons = [Text(f"- {reason}") for reason in decision["reasons"]]
        parts += _section("Why", [told, *reasons])
    parts += _section("Metrics", [_metrics(shown["metrics"])])
    parts += _section("Trail", [_trail(shown["trail"])] if shown["trail"] else [])
    lineage = {name: HASH.sub(lambda m: m[0][:LENGTH], v) for name, v in shown["lineage"].items()}
    ids = {
        "run": shown["run_id"],
        "logged model": shown["model_id"],
        "files": shown["files"],
        "store": shown["store"],
    }
    parts += _section("Lineage", [_pairs(lineage | ids)])
    parts += _section("Parameters", [_pairs(shown["params"])] if shown["params"] else [])
    return Group(*parts)


def win_rate(row: dict[str, Any]) -> str:
    """A win rate with its interval and count; a dash where nothing was measured."""
    value = row.get(names.WIN_RATE)
    if value is None:
        return "-"
    low, high, n = (row[name] for name in (names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N))
    return str(Estimate(value, (low, high), int(n)))


def _section(title: str, rows: Sequence[RenderableType]) -> list[RenderableType]:
    return [Text(f"\n{title}", style="bold"), *(Padding(row, (0, 0, 0, 2)) for row in rows)] if rows else []


def _metrics(metrics: dict[str, float]) -> Table:
    """The win rates in one cell each, then what else the decision rests on, then the training's."""
    rows: dict[str, str] = {}
    bounds = {names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N}
    for name, value in sorted(metrics.items(), key=_rank):
        head, _, dimension = name.partition("/")
        if head == names.WIN_RATE:
            part = {n.partition("/")[0]: v for n, v in metrics.items() if n.partition("/")[2] == dimension}
            rows[name] = win_rate(part)
        elif head not in bounds:
            rows[name] = _number(value)
    return _pairs(rows)


def _rank(item: tuple[str, float]) -> tuple[bool, bool, str]:
    name = item[0]
    return not names.is_of_decision(name), not name.startswith(names.WIN_RATE), name


def _trail(events: Sequence[dict[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for event in events:
        table.add_row(_minute(event["at"]), event["what"], event["by"])
    return table


def _pairs(values: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, str(value))
    return table


def _over(number: int | None, base: str = "the base model") -> str:
    if number is None:
        return "-"
    return f"version {number}" if number else base


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _day(time: str) -> str:
    return time[:10]


def _minute(time: str) -> str:
    return f"{time[:10]} {time[11:16]}"
