"""The champion as people use it: from Python, by the example on its page, over HTTP, with other ARMs."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from registry_toys import decision
from toy_arms import card, make_arm

from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, GenarmError, RegistryError, RequestError
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.registry import Registry, model_files
from genarm.registry.pages import model_page

CHAMPION = "models:/genarm-positive@champion"
Promote = Callable[..., Path]


@pytest.fixture
def promoted(store: Registry, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promote:
    """Makes an ARM of a dimension, and its champion of it."""
    mlflow.set_tracking_uri(store.uri)
    monkeypatch.setenv("GENARM_DTYPE", "float32")

    def promote(dimension: str, seed: int, **changes: Any) -> Path:
        folder = make_arm(tmp_path / dimension, resolve(str(toy.folder)), toy.model, seed=seed)
        said = dataclasses.replace(card(resolve(str(toy.folder))), dimension=dimension, weight=0.5, **changes)
        write_card(folder, said)
        store.register(dimension, folder, metrics={})
        verdict = dataclasses.replace(decision(store, folder), dimension=dimension)
        verdict = dataclasses.replace(verdict, champion=store.champions([dimension])[dimension])
        store.promote(dimension, verdict, smoke_test=lambda _: None, actor="test")
        return folder

    return promote


def test_texts_conversations_and_tables_get_the_same_answers(promoted: Promote, toy: Any) -> None:
    folder = promoted("positive", 1)
    model = mlflow.pyfunc.load_model(CHAMPION)
    params = {"max_new_tokens": 6, "seed": 3, "temperature": 1, "top_p": 0.9}
    decoder = load_decoder(str(toy.folder), {"positive": folder}, dtype="float32")
    prompt = decoder.prompt("hello")
    [wanted] = decoder.generate(
        [GuidedRequest(prompt, {"positive": 0.5}, top_p=0.9, max_new_tokens=6, seed=3)]
    )
    for given in (
        "hello",
        ["hello"],
        [{"role": "user", "content": "hello"}],
        [{"prompt": "hello"}],
        pd.DataFrame({"prompt": ["hello"]}),
    ):
        answer = model.predict(given, params=params)
        assert answer.to_dict("records") == [
            {
                "response": wanted.text,
                "tokens": len(wanted.tokens),
                "finish_reason": wanted.finish_reason,
                "kl": pytest.approx(wanted.kl),
            }
        ]
    with pytest.raises(RequestError, match="row 1: there is no prompt in 5"):
        model.predict(["hello", 5])
    with pytest.raises(RequestError, match=r"row 0: weight of ARM 'positive' is -1.0"):
        model.predict([{"prompt": "hello", "weight": -1}])


def test_several_arms_guide_at_once(promoted: Promote, toy: Any, caplog: pytest.LogCaptureFixture) -> None:
    folders = {"positive": promoted("positive", 1), "plain": promoted("plain", 2)}
    model = mlflow.pyfunc.load_model(CHAMPION)
    weights = {"positive": 0.3, "plain": 0.7}
    asked = {"max_new_tokens": 6, "seed": 3}
    alone = model.predict("hello", params=asked)["response"][0]
    caplog.set_level("INFO")
    both = model.predict("hello", params=asked | {"weights": json.dumps(weights)})
    assert "guided by plain too" in caplog.text and "models:/genarm-plain@champion" in caplog.text
    decoder = load_decoder(str(toy.folder), folders, dtype="float32")
    [wanted] = decoder.generate([GuidedRequest(decoder.prompt("hello"), weights, **asked)])
    assert (both["response"][0], both["kl"][0]) == (wanted.text, pytest.approx(wanted.kl))
    assert wanted.text != alone == model.predict("hello", params=asked)["response"][0]
    rows = [{"prompt": "hello", "weights": w} for w in (weights, {"plain": 0.7}, {"positive": 0.5})]
    assert model.predict(rows, params=asked)["response"][2] == alone


def test_every_arm_guides_by_what_its_weight_was_tuned_for(promoted: Promote, toy: Any) -> None:
    folders = {"positive": promoted("positive", 1), "plain": promoted("plain", 2, guidance="contrast")}
    weights, asked = {"positive": 0.3, "plain": 0.7}, {"max_new_tokens": 6, "seed": 3}
    decoder = load_decoder(str(toy.folder), folders, dtype="float32")

    def wanted(guidance: Any, weights: Any = weights) -> tuple[str, Any]:
        [answer] = decoder.generate(
            [GuidedRequest(decoder.prompt("hello"), weights, guidance=guidance, **asked)]
        )
        return answer.text, pytest.approx(answer.kl)

    def got(model: Any, **params: Any) -> tuple[str, float]:
        answer = model.predict("hello", params=asked | params)
        return answer["response"][0], answer["kl"][0]

    both = json.dumps(weights)
    model = mlflow.pyfunc.load_model(CHAMPION)
    assert got(model, weights=both) == wanted({"plain": "contrast"})
    plain = mlflow.pyfunc.load_model("models:/genarm-plain@champion")
    assert got(plain) == wanted("contrast", {"plain": 0.5}) == got(plain, guidance="contrast")
    refused = "row 0: the weight of 'plain' was tuned for guidance 'contrast', and 'sum' is asked for"
    with pytest.raises(RequestError, match=f"{refused}.*other_guidance=True"):
        got(model, weights=both, guidance="sum")
    assert got(model, weights=both, guidance="sum", other_guidance=True) == wanted("sum")
    assert got(model, weights=both, guidance="contrast", other_guidance=True) == wanted("contrast")


def test_an_arm_that_is_not_there_or_does_not_fit_is_named(promoted: Promote, tmp_path: Path) -> None:
    promoted("positive", 1)
    other = promoted("plain", 2, model_weights_sha256="0" * 64)
    model = mlflow.pyfunc.load_model(CHAMPION, model_config={"arms": {"moody": str(other)}})
    before = model.predict("hello", params={"max_new_tokens": 4})
    for name, kind, message in (
        ("calm", RegistryError, r"models:/genarm-calm@champion is not found in sqlite:.*MLFLOW_TRACKING_URI"),
        ("plain", AdapterError, "ARM 'plain' adapts weights 000000000000"),
        ("moody", AdapterError, "holds an ARM for 'plain', not for 'moody'"),
    ):
        with pytest.raises(kind, match=message) as error:
            model.predict("hello", params={"weights": json.dumps({name: 1})})
        assert isinstance(error.value, GenarmError) and error.value.hint
    pd.testing.assert_frame_equal(before, model.predict("hello", params={"max_new_tokens": 4}))


def test_an_arm_outside_the_registry_is_taken_from_its_folder(
    promoted: Promote, toy: Any, tmp_path: Path
) -> None:
    promoted("positive", 1)
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "calm", source, toy.model, seed=5)
    write_card(folder, dataclasses.replace(read_card(folder), dimension="calm"))
    model = mlflow.pyfunc.load_model(CHAMPION, model_config={"arms": {"calm": str(folder)}})
    answer = model.predict("hello", params={"weights": '{"calm": 1}', "max_new_tokens": 4})
    decoder = load_decoder(source, {"calm": folder}, dtype="float32")
    [wanted] = decoder.generate([GuidedRequest(decoder.prompt("hello"), {"calm": 1}, max_new_tokens=4)])
    assert answer["response"][0] == wanted.text


def test_the_example_of_the_page_runs(promoted: Promote, capsys: pytest.CaptureFixture[str]) -> None:
    promoted("positive", 1)
    page = model_page("positive")
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block.replace("bfloat16", "float32"), "model.md.jinja", "exec"), {})
    assert float(capsys.readouterr().out.split()[-1]) > 0, "the KL of the guided answer"


def test_the_stored_example_and_tables_are_answered_over_http(promoted: Promote) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    promoted("positive", 1)
    place = Path(mlflow.artifacts.download_artifacts(CHAMPION))
    model = mlflow.pyfunc.load_model(str(place))
    assert {p.name for p in model.metadata.get_params_schema()} == {
        "weight", "weights", "temperature", "top_p", "max_new_tokens", "seed", "guidance", "other_guidance",
    }  # fmt: skip
    server = TestClient(scoring_server.init(model))
    example = json.loads((place / "serving_input_example.json").read_text())
    assert example["params"]["max_new_tokens"] == 32
    plain, table = (
        server.post("/invocations", json=sent).json()
        for sent in (
            example,
            {"dataframe_records": [{"prompt": example["inputs"][0]}], "params": example["params"]},
        )
    )
    assert plain == table and list(plain["predictions"][0]) == ["response", "tokens", "finish_reason", "kl"]
    talk = [[{"role": "user", "content": example["inputs"][0]}]]
    spoken = server.post("/invocations", json={"inputs": talk, "params": example["params"]}).json()
    assert spoken == plain
    assert not list(place.rglob("*.pkl")), model_files.STORED_CODE
