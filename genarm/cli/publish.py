"""`genarm publish`: results go to the DVC remote and into git by hand, or once more after a refusal."""

from typing import Annotated, Literal

import typer

from genarm.cli.console import Json, err, out, project, show
from genarm.errors import ConfigError


def publish(
    dvc: Annotated[Literal["none", "push"] | None, typer.Option(help="instead of publish.dvc")] = None,
    git: Annotated[
        Literal["none", "commit", "branch"] | None, typer.Option(help="instead of publish.git")
    ] = None,
    push: Annotated[bool | None, typer.Option(help="instead of publish.push")] = None,
    as_json: Json = False,
) -> None:
    """Publish the results that are here as params.yaml asks, or do what an earlier publishing left."""
    here = project()
    from genarm.config import PublishConfig
    from genarm.pipeline.alone import alone
    from genarm.pipeline.publish.steps import Publication
    from genarm.pipeline.publish.steps import publish as publish_results

    asked = here.params.publish.model_dump()
    asked |= {
        name: value for name, value in {"dvc": dvc, "git": git, "push": push}.items() if value is not None
    }
    if git == "none" and push is None:
        asked["push"] = False
    if asked["push"] and asked["git"] == "none":
        raise ConfigError("--push needs a commit, and git is none", hint="add --git commit or --git branch")
    config = PublishConfig.model_validate(asked)
    if not config.is_asked_for:
        raise ConfigError(
            "params.yaml asks for nothing to be published",
            hint="genarm publish --dvc push --git commit --push; or in params.yaml: "
            "publish: {dvc: push, git: commit, push: true}",
        )
    with alone(here):
        made = publish_results(Publication(here, config))
    for line in made.notes:
        err.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        left = [{"error": e.message, "hint": e.hint} for e in made.left]
        show({"done": made.done, "left": left, "branch": made.branch, "commit": made.commit}, True)
    else:
        for line in made.done:
            out.print(line, highlight=False, soft_wrap=True)
    if made.error:
        raise made.error
