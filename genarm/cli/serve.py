"""`genarm serve`: the OpenAI API over base and champions."""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from genarm.cli.console import err, out, project
from genarm.errors import ConfigError


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="address to listen at; others than this machine's need keys")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    keys: Annotated[Path | None, typer.Option(help="JSON file of API keys, by hash")] = None,
    new_key: Annotated[str, typer.Option(help="add a key of this name to the file, print it and stop")] = "",
    pin: Annotated[list[str] | None, typer.Option(help="serve this version, such as positive=3")] = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="also serve the version on trial on each dimension")
    ] = False,
    slots: Annotated[int, typer.Option(min=1, help="responses decoded together")] = 32,
    watch: Annotated[
        float, typer.Option(min=0, help="seconds between looks for new champions; 0: none")
    ] = 10,
    max_open: Annotated[int, typer.Option(min=1, help="most responses decoded or waiting")] = 256,
    max_body: Annotated[int, typer.Option(min=1024, help="most bytes of a request")] = 1 << 20,
    timeout: Annotated[float, typer.Option(min=1, help="most seconds of a request")] = 300,
    engine: Annotated[
        Literal["builtin", "vllm"] | None,
        typer.Option(
            help="vllm: vLLM's own server, guided; docs/serving.md. Default: vllm where there is a GPU, vLLM "
            "is installed and nothing is set that only builtin has"
        ),
    ] = None,
    vllm_option: Annotated[
        list[str] | None, typer.Option(help="an option for vLLM's server, such as --max-model-len=2048")
    ] = None,
) -> None:
    """Serve base and champions by the OpenAI API, and follow promotions."""
    if missing := [n for n in ("fastapi", "uvicorn", "prometheus_client") if find_spec(n) is None]:
        raise ConfigError(f"{missing[0]} is not installed", hint='pip install "genarm[serve]"')
    if new_key:
        from genarm.serve.keys import new_key as make

        if keys is None:
            raise ConfigError(
                "no file for the new key", hint=f"genarm serve --keys keys.json --new-key {new_key}"
            )
        out.print(make(keys, new_key), soft_wrap=True, highlight=False)
        err.print("shown once and kept nowhere; the file has its hash alone")
        return
    # The first process of a container ignores signals that it does not handle, and loading takes minutes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    def say(line: str) -> None:
        err.print(line, markup=False, highlight=False, soft_wrap=True)

    from genarm.serve.engine_choice import choose

    served = project()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {f"--{n.replace('_', '-')}" for n, s in sources.items() if s and not s.name.startswith("DEFAULT")}
    chosen, why = choose(engine, given, served.params, served.root)
    if why:
        say(f"engine: {chosen}, as {why}")
    if chosen == "vllm":
        from genarm.serve.vllm_engine import serve_by_vllm

        status = serve_by_vllm(
            served, host=host, port=port, pins=pin or [], slots=slots, watch=watch, max_body=max_body,
            more=vllm_option or [], say=say,
        )  # fmt: skip
        raise typer.Exit(status)
    from genarm.serve.run import serve as run
    from genarm.serve.settings import ServeSettings

    run(
        served,
        host=host,
        port=port,
        keys=keys,
        pins=pin or [],
        slots=slots,
        watch=watch,
        settings=ServeSettings(trial=trial, max_open=max_open, max_body=max_body, answer_seconds=timeout),
        say=say,
    )
