"""A project whose evaluation prompts are answered by guided servers, and what the built-in engine answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_arms import make_arm
from toy_params import dimension

from genarm.decoding import load_decoder
from genarm.models import resolve
from genarm.models.arm import adapter_hash, read_card, write_card
from genarm.pipeline.answering.identity import identity
from genarm.pipeline.project import Project
from genarm.pipeline.stages.respond import respond
from genarm.serve.lineup import Lineup, ServedArm
from genarm.system.files import write_json, write_rows
from genarm.types import Champion, Message, Prompt, Response, Tuned

WEIGHTS = {"challenger": 0.6, "champion": 0.9}


def prompts(count: int) -> list[Prompt]:
    return [Prompt((Message("user", f"question {i}"),)) for i in range(count)]


def make_project(toy: Any, root: Path, count: int = 20, tokens: int = 8) -> Project:
    """One dimension, `kind`: a trained ARM, and another one in use as version 1."""
    project = with_engine(Project(root), toy, None, count, tokens)
    source = resolve(str(toy.folder))
    write_rows(project.layout.prompts, prompts(count))
    write_json(project.layout.tuned("kind"), Tuned(0.6, "contrast", "params.yaml", "it is said there"))
    for seed, folder in enumerate((project.layout.arm("kind"), root / "in-use")):
        make_arm(folder, source, toy.model, seed=seed)
        use = {"weight": (0.6, 0.9)[seed], "guidance": ("contrast", "sum")[seed]}
        write_card(folder, replace(read_card(folder), dimension="kind", **use))
    champion = Champion(1, "m", adapter_hash(root / "in-use"), 0.9, "sum")
    write_json(project.layout.incumbents, {"kind": champion})
    return project


def with_engine(
    project: Project,
    toy: Any,
    engine: dict[str, Any] | None,
    count: int = 20,
    tokens: int = 8,
    **sampling: Any,
) -> Project:
    """The project with this section `respond.engine`, read anew."""
    settings = {"temperature": 1, "max_new_tokens": tokens, "seed": 2, "top_p": 0.9, **sampling}
    respond_ = {"prompts": count, "guidance": "contrast", "sampling": settings, "engine": engine}
    base = {"model": str(toy.folder), "dtype": "float32"}
    params = {"base": base, "dimensions": {"kind": dimension(weight=0.6)}, "respond": respond_}
    write_json(project.layout.params, params)
    return Project(project.root)


def lineup(project: Project, toy: Any, *, trial: bool = True) -> Lineup:
    """What a server of the project serves: its champion, and with `trial` its challenger as version 2."""
    arms = [ServedArm("kind", champion_of(project))]
    if trial:
        tried = Champion(2, "m", adapter_hash(project.layout.arm("kind")), 0.6, "contrast")
        arms.append(ServedArm("kind", tried, trial=True))
    folders = {"kind": project.root / "in-use", "kind@2": project.layout.arm("kind")}
    named = {arm.name: arm for arm in arms}
    decoder = load_decoder(
        resolve(str(toy.folder)), {name: folders[name] for name in named}, dtype="float32", batch_size=8
    )
    return Lineup(decoder, "toy", named, identity(project))


def champion_of(project: Project) -> Champion:
    champion = project.incumbents()["kind"]
    assert champion is not None
    return champion


def answers(project: Project, side: Any) -> list[Response]:
    return respond(project, side, None if side == "base" else "kind", lambda *_: project.root / "in-use")


def same(found: Sequence[Response], wanted: Sequence[Response]) -> None:
    """Tokens, texts and ends are equal; log-probabilities as far as batches of other sizes round alike."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        exact = [(r.prompt_id, r.text, r.tokens, r.finish_reason) for r in (one, other)]
        assert exact[0] == exact[1], exact
        assert one.kl == pytest.approx(other.kl, abs=1e-5)
        assert one.base_logprob == pytest.approx(other.base_logprob, abs=1e-4)
        assert [c for c, _ in one.guidance or ()] == [c for c, _ in other.guidance or ()]
