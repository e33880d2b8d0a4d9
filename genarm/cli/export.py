"""`genarm export`: an ARM for programs that know nothing of genarm."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genarm.cli.console import Dimension, Json, err, out, project, show
from genarm.system.counted import counted


class Form(StrEnum):
    """What is written."""

    merged = "merged"
    peft = "peft"
    gguf_ready = "gguf-ready"


def export(
    dimension: Dimension,
    version: Annotated[str, typer.Option(help="a number or an alias")] = "champion",
    to: Annotated[
        Path | None, typer.Option(help="a new or empty folder, or one in artifacts/exports/")
    ] = None,
    form: Annotated[
        Form, typer.Option(help="one model for one weight; the LoRA alone; a model to make GGUF of")
    ] = Form.merged,
    weight: Annotated[float | None, typer.Option(help="decoding weight, or the version's own")] = None,
    as_json: Json = False,
) -> None:
    """Write an ARM as a folder: merged into its base model, as plain PEFT, or ready for llama.cpp."""
    from genarm.operations.export import export as write

    here = project()
    with err.status("exporting") as status:
        made = write(
            here, dimension, version=version, to=to, form=form.value, weight=weight, say=status.update
        )
    if as_json:
        show(made, as_json)
        return
    out.print(f"wrote {made.folder}", soft_wrap=True, highlight=False)
    out.print(f"version {made.version} of {made.dimension} at weight {made.weight:g}", highlight=False)
    if made.loss is not None and made.temperature is not None:
        loss = made.loss
        out.print(
            f"sample it at temperature {made.temperature:.3g}; it is near the guided policy, not equal\n"
            f"merging loses {loss.merged:.2g} nats a token, KL(guided || merged), where guidance moves the "
            f"base by {loss.base:.2g};\nthe base alone, sampled so, would lose {loss.sharpened:.2g} "
            f"({loss.tokens} tokens of {counted(loss.prompts, 'prompt')})",
            soft_wrap=True,
            highlight=False,
        )
    out.print(f"how to load it: {made.folder / 'README.md'}", soft_wrap=True, highlight=False)
