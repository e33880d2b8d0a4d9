"""`genarm params`: every key of `params.yaml` with its meaning and, in a project, its value."""

import re
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from genarm.cli.console import PARAMS, Json, out, show
from genarm.config.explain import nearest
from genarm.errors import ConfigError
from genarm.system import env


def params(
    section: Annotated[str, typer.Argument(help="only the keys of one section, such as train.lora")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="the page of the documentation")] = False,
    as_json: Json = False,
) -> None:
    """Every parameter: what it takes, its default, its meaning and, in a project, its value."""
    from genarm.config import load_params
    from genarm.config.reference import NAME, keys, value_of
    from genarm.config.reference import markdown as page

    if markdown:
        print(page(), end="")
        return
    file = env.project_root() / PARAMS
    inside = load_params(file) if file.is_file() else None
    known = keys()
    if found := re.fullmatch(r"dimensions\.([^.<]+)(.*)", section):  # the keys of all dimensions are the same
        if inside:
            inside.known(found[1])
        section = f"dimensions.{NAME}{found[2]}"
    wanted = [key for key in known if f"{key.path}.".startswith(f"{section}." if section else "")]
    if not wanted:
        close = nearest(section, [key.path for key in known])
        raise ConfigError(f"no parameter {section!r}{close}", hint="genarm params lists them all")
    values = {key.path: value_of(inside, key) for key in wanted if key.is_value} if inside else {}
    if as_json:
        show([{**asdict(key), "value": values.get(key.path)} for key in wanted], as_json)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("key", overflow="fold", max_width=out.width // 2)  # else the longest leave no room
    table.add_column("value" if inside else "default", overflow="fold")
    table.add_column("meaning", overflow="fold")
    for key in wanted:
        of_type = f"{key.takes}; default {key.default}" if inside and key.default else key.takes
        shown = values.get(key.path, "") if inside else key.default
        table.add_row(key.path, shown, f"{key.meaning} ({of_type})" if key.is_value else key.meaning)
    out.print(table)
