"""The respond stages guide by `respond.guidance`, and the champion by what its own weight was tuned for."""

from dataclasses import replace

import pytest
from toy_arms import as_peft_loads_it, make_arm, plain_loop
from toy_params import dimension

from genarm.decoding import GuidedRequest
from genarm.errors import AdapterError
from genarm.evaluation.respond import prompt_seed
from genarm.models import render, resolve
from genarm.models.arm import read_card, write_card
from genarm.pipeline.project import Project
from genarm.pipeline.smoke_test import smoke_test
from genarm.pipeline.stages.respond import respond
from genarm.system.files import write_json, write_rows
from genarm.types import Champion, Message, Prompt, Tuned

PROMPTS = [Prompt((Message("user", f"question {i}"),)) for i in range(2)]


def project_of(toy, root, guidance):
    """One dimension, `kind`, guided at weight 0.6 by its challenger."""
    sampling = {"temperature": 1, "max_new_tokens": 8, "seed": 2, "top_p": 1.0}
    write_json(
        root / "params.yaml",
        {
            "base": {"model": str(toy.folder), "dtype": "float32"},
            "dimensions": {"kind": dimension(weight=0.6)},
            "respond": {"prompts": 2, "guidance": guidance, "sampling": sampling},
        },
    )
    project = Project(root)
    write_rows(project.layout.prompts, PROMPTS)
    write_json(project.layout.tuned("kind"), Tuned(0.6, guidance, "params.yaml", "it is said there"))
    return project


def plain(toy, folder, weight, guidance):
    """What the plain loop answers: base log-probabilities and KL, by prompt."""
    arms, said = {"kind": as_peft_loads_it(toy.model, folder)}, []
    for prompt in PROMPTS:
        ids = tuple(render(toy.tokenizer, prompt.messages))
        request = GuidedRequest(
            ids, {"kind": weight}, max_new_tokens=8, seed=prompt_seed(2, prompt), guidance=guidance
        )
        tokens, base_logprob, kl = plain_loop(toy.model, arms, request)
        said.append((len(tokens), pytest.approx(base_logprob, abs=1e-3), pytest.approx(kl, abs=1e-4)))
    return said


@pytest.mark.parametrize("guidance", ["sum", "contrast"])
def test_challenger_and_champion_guide_each_by_its_own(toy, tmp_path, guidance):
    project = project_of(toy, tmp_path, guidance)
    folder = make_arm(project.layout.arm("kind"), resolve(str(toy.folder)), toy.model, seed=3)
    other = "sum" if guidance == "contrast" else "contrast"
    champion = Champion(1, "m", "a" * 64, 0.9, other)
    write_json(project.layout.incumbents, {"kind": champion})
    for side, weight, by in (("challenger", 0.6, guidance), ("champion", 0.9, other)):
        answers = respond(project, side, "kind", lambda *_: folder)
        assert [(a.tokens, a.base_logprob, a.kl) for a in answers] == plain(toy, folder, weight, by)


def test_the_smoke_test_tries_a_version_by_its_own_guidance(toy, tmp_path):
    """Under contrast an adapter of zeros is the base, to rounding."""
    project, source = project_of(toy, tmp_path, "sum"), resolve(str(toy.folder))
    for zeros in (False, True):
        folder = make_arm(tmp_path / f"zeros {zeros}", source, toy.model, seed=3, zeros=zeros)
        write_card(folder, replace(read_card(folder), guidance="contrast"))
        if zeros:
            with pytest.raises(AdapterError, match="loads but does not guide: 8 tokens, KL to the base"):
                smoke_test(project, "kind", folder)
        else:
            smoke_test(project, "kind", folder)
