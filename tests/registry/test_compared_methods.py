"""A soup and best of n as versions: registered, promoted by their smoke test, served, rolled back."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from registry_toys import DIMENSION
from toy_arms import as_peft_loads_it, make_arm, plain_loop
from toy_params import dimension as of_params
from toy_rewards import llama, save

from genarm.baselines.best_of_folder import best_of, write_best_of
from genarm.baselines.best_of_n import BestOfN
from genarm.baselines.guided import base
from genarm.baselines.reward_model import load_reward_model
from genarm.baselines.selection import ByCachedReward, ByLikelihood, Selector
from genarm.baselines.training.policy import POLICY
from genarm.baselines.training.soups import make_soup
from genarm.chat.terminal import run_chat
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, ConfigError, GenarmError, RegistryError, RequestError
from genarm.models import resolve
from genarm.operations import export
from genarm.operations import registry as operations
from genarm.pipeline.project import Project
from genarm.pipeline.registry_fetch import fetch_version
from genarm.pipeline.respond_best_of import respond
from genarm.pipeline.smoke_test import smoke_test
from genarm.pipeline.warm_start import note_starts
from genarm.registry import Registry
from genarm.registry.served import open_served
from genarm.system.files import write_json, write_rows
from genarm.types import Message, Prompt

CHAMPION = f"models:/genarm-{DIMENSION}@champion"
N = 4


@pytest.fixture
def here(root: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on the toy, with three prompts and results of an experiment."""
    monkeypatch.setenv("GENARM_DTYPE", "float32")
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
    sampling = {"max_new_tokens": 6, "batch_size": 4, "top_p": 1.0}
    values = {
        "base": {"model": str(toy.folder), "dtype": "float32"},
        "dimensions": {DIMENSION: of_params()},
        "respond": {"sampling": sampling},
    }
    write_json(root / "params.yaml", values)
    project = Project(root)
    write_rows(project.layout.prompts, [Prompt((Message("user", f"say {i}"),)) for i in range(3)])
    write_json(root / "results" / "results.json", {"name": "toy"})
    (root / "results" / "table.md").write_text("| method |\n")
    return project


def put_on_trial(store: Registry, folder: Path, method: str) -> int:
    results = folder.parent / "results"
    results.mkdir(exist_ok=True)
    write_json(results / "results.json", {"name": "toy"})
    return store.register_compared(
        DIMENSION,
        folder,
        results,
        experiment="toy",
        row="best",
        method=method,
        metrics={"compare/win_rate": 0.7},
        lineage={"seed": "0"},
    )


def promote(project: Project, version: int) -> str:
    return operations.promote(project, DIMENSION, version, "it won")


def make_best_of(project: Project, by: Any, toy: Any, out: Path) -> Path:
    scorer = out.parent / "scorer"
    if by == "reward":
        save(scorer, llama(seed=5))
    else:
        make_arm(scorer, project.base, toy.model, seed=3)
    write_best_of(
        scorer, N, by, out=out, dimension=DIMENSION, base=project.base, dtype="float32",
        provenance=POLICY, params={"experiment": "toy"},
    )  # fmt: skip
    return out


def test_a_soup_by_contrast_at_weight_1_answers_as_its_adapter_alone(toy: Any, tmp_path: Path) -> None:
    source = resolve(str(toy.folder))
    parents = {n: make_arm(tmp_path / n, source, toy.model, seed=i) for i, n in enumerate(("a", "b"))}
    out, shares = tmp_path / "soup", {"a": 0.3, "b": 0.7}
    made = make_soup(source, parents, shares, name=DIMENSION, dtype="float32", out=out)
    assert made.guidance == "contrast" and made.weight == 1
    alone = as_peft_loads_it(toy.model, out)  # which tests/baselines compares with the merged deltas
    decoder = open_served(source, {DIMENSION: out}, dtype="float32")
    request = GuidedRequest((1, 2, 3), {DIMENSION: 1.0}, guidance="contrast", seed=4, max_new_tokens=9,
                            return_rewards=True)  # fmt: skip
    (answer,) = decoder.generate([request])
    assert answer.tokens == plain_loop(alone, {}, GuidedRequest((1, 2, 3), {}, seed=4, max_new_tokens=9))[0]
    ids = torch.tensor([[1, 2, 3, *answer.tokens]])
    with torch.no_grad():
        logs = alone(ids).logits[0, 2:-1, :261].float().log_softmax(-1)
    plain = logs.gather(-1, ids[0, 3:, None])[:, 0]
    served = torch.tensor([reward.guided for reward in answer.rewards])
    torch.testing.assert_close(served, plain, rtol=0, atol=1e-5)


def test_a_soup_is_promoted_answers_and_is_rolled_back(
    here: Project, store: Registry, toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = {n: make_arm(tmp_path / n, here.base, toy.model, seed=i) for i, n in enumerate(("a", "b"))}
    shares = {"a": 0.5, "b": 0.5}
    make_soup(here.base, parents, shares, name=DIMENSION, dtype="float32", out=tmp_path / "soup")
    number = put_on_trial(store, tmp_path / "soup", "soup")
    assert put_on_trial(store, tmp_path / "soup", "soup") == number == 1
    shown = store.show(DIMENSION, 1)
    assert shown["lineage"]["method"] == "soup" and shown["lineage"]["experiment"] == "toy"
    assert shown["metrics"]["compare/win_rate"] == 0.7
    listed = store.client.list_artifacts(store.version(DIMENSION, 1).run_id, "experiments/toy")
    assert [file.path for file in listed] == ["experiments/toy/results.json"]
    assert promote(here, 1) == f"{DIMENSION}: version 1 is the champion"
    fetched = fetch_version(here, DIMENSION, here.champions()[DIMENSION], here.layout.champion_arm(DIMENSION))
    asked = {"prompt": "Hello", "max_new_tokens": 8, "seed": 3}
    (answer,) = mlflow.pyfunc.load_model(CHAMPION).predict([asked]).to_dict("records")
    decoder = load_decoder(here.base, {"soup": fetched}, dtype="float32")
    request = GuidedRequest(
        decoder.prompt("Hello"), {"soup": 1.0}, guidance="contrast", seed=3, max_new_tokens=8
    )
    assert answer["response"] == decoder.generate([request])[0].text
    answers = respond(here, "champion", DIMENSION, lambda *given: fetched)
    assert len(answers) == 3 and all(a.kl > 0 for a in answers)
    operations.rollback(here, DIMENSION, "no", 0)
    assert here.champions()[DIMENSION] is None


@pytest.mark.parametrize("by", ["reward", "implicit"])
def test_best_of_n_is_promoted_and_answers_as_the_method_that_was_measured(
    by: str, here: Project, store: Registry, toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_best_of(here, by, toy, tmp_path / "best")
    with pytest.raises(GenarmError):  # so that no earlier genarm takes it for an ARM
        load_decoder(here.base, {DIMENSION: folder}, dtype="float32")
    version = put_on_trial(store, folder, "best_of_n")
    assert promote(here, version) == f"{DIMENSION}: version {version} is the champion"

    arms = {} if by == "reward" else {"arm": tmp_path / "scorer"}
    engine = load_decoder(here.base, arms, dtype="float32", batch_size=4)
    selector: Selector
    if by == "reward":
        reward = load_reward_model(
            tmp_path / "scorer", base=here.base, tokenizer=engine.tokenizer, dtype="float32", close_turn=True
        )
        selector = ByCachedReward(reward, engine.stop_criteria.end_tokens.tolist())
    else:
        selector = ByLikelihood(engine, "arm", "implicit")
    method = BestOfN(base(engine), selector, N)
    wanted = [
        method.generate([GuidedRequest(method.prompt("Hello"), seed=s, max_new_tokens=8)])[0]
        for s in range(4)
    ]
    model = mlflow.pyfunc.load_model(CHAMPION)
    asked = [{"prompt": "Hello", "max_new_tokens": 8, "seed": s} for s in range(4)]
    assert list(model.predict(asked)["response"]) == [w.text for w in wanted]
    alone = engine.generate(
        [GuidedRequest(method.prompt("Hello"), seed=s, max_new_tokens=8) for s in range(4)]
    )
    assert list(model.predict([a | {"weight": 0.0} for a in asked])["response"]) == [a.text for a in alone]
    assert [w.text for w in wanted] != [a.text for a in alone]
    with pytest.raises(RequestError, match=r"weight 0.5, and the best of 4 has no strength"):
        model.predict([asked[0] | {"weight": 0.5}])

    run_chat(here, once="Hello", as_json=True)  # streams both sides of one session
    told = capsys.readouterr()
    assert f"version {version}, the best of {N} by" in " ".join(told.err.split())
    said = json.loads(told.out)
    assert said["guided"]["text"] and said["weights"] == {DIMENSION: 1.0}

    fetch = lambda d, c, into: fetch_version(here, d, c, into)  # noqa: E731
    answers = respond(here, "champion", DIMENSION, fetch)
    assert len(answers) == 3
    with pytest.raises(RegistryError, match=rf"is the best of {N} by .* and no model is merged"):
        export.export(here, DIMENSION)
    operations.rollback(here, DIMENSION, "too slow", 0)
    assert here.champions()[DIMENSION] is None


def test_training_does_not_start_from_best_of_n(
    here: Project, store: Registry, toy: Any, tmp_path: Path
) -> None:
    promote(here, put_on_trial(store, make_best_of(here, "arm", toy, tmp_path / "best"), "best_of_n"))
    values = json.loads((here.root / "params.yaml").read_text()) | {"train": {"warm_start": "champion"}}
    write_json(here.root / "params.yaml", values)
    with pytest.raises(ConfigError, match=r"version 1, which is the best of 4 by an ARM and no ARM"):
        note_starts(Project(here.root), lambda d, c, into: fetch_version(here, d, c, into))


def test_what_prefers_nothing_or_was_altered_is_not_promoted(here: Project, toy: Any, tmp_path: Path) -> None:
    scorer = make_arm(tmp_path / "zeros", here.base, toy.model, seed=3, zeros=True)
    write_best_of(
        scorer, N, "implicit", out=tmp_path / "best", dimension=DIMENSION, base=here.base, dtype="float32",
        provenance=POLICY, params={},
    )  # fmt: skip
    with pytest.raises(AdapterError, match="loads but does not choose"):
        smoke_test(here, DIMENSION, tmp_path / "best")
    config = tmp_path / "best" / "adapter_config.json"
    config.write_text(config.read_text().replace(f'"n": {N}', '"n": 64'))
    assert (found := best_of(tmp_path / "best")) is not None and found.n == 64
    with pytest.raises(AdapterError, match="was altered or cut short"):
        smoke_test(here, DIMENSION, tmp_path / "best")
