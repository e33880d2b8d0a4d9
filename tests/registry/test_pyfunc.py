"""The model stored with a version answers by itself: an adapter, a whole model, and one stored long ago."""

import ast
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from registry_toys import DIMENSION, MakeArm, decision, promote, register

from genarm.errors import AdapterError
from genarm.models import resolve
from genarm.models.arm import files, is_full, read_card, write_card
from genarm.registry import Registry, model_files

STORED_BEFORE = Path(__file__).with_name("pyfunc_stored_before.py")  # as committed in 3500294, word for word


@pytest.mark.parametrize("code", [model_files.STORED_CODE, STORED_BEFORE], ids=["new", "stored before"])
def test_the_stored_model_answers_by_itself(
    code: Path, toy: Any, store: Registry, make_arm: MakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    monkeypatch.setattr(model_files, "STORED_CODE", code)
    register(store, make_arm(0))
    promote(store, make_arm(0))
    monkeypatch.setenv("GENARM_BASE", str(toy.folder))
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model("models:/genarm-positive@champion", model_config={"dtype": "float32"})
    asked = {"prompt": "Hello", "max_new_tokens": 8, "seed": 3}
    rows = [asked, asked | {"weight": 0.0}, asked | {"weight": 1.5}]
    answers = model.predict(pd.DataFrame(rows))
    new = ["kl"] if code != STORED_BEFORE else []
    assert list(answers.columns) == ["response", "tokens", "finish_reason", *new]
    assert answers["response"][0] == answers["response"][2], "the card's weight is the default"
    assert answers["response"][0] != answers["response"][1], "weight 0 is the base"
    # A table: of a list, the signature of that time would have made one.
    alone = model.predict(pd.DataFrame([asked]))
    assert alone["response"][0] == answers["response"][0], "alone as in a batch"


def test_the_stored_code_imports_only_what_is_promised_to_stay() -> None:
    tree = ast.parse(model_files.STORED_CODE.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    of_genarm = [ast.unparse(node) for node in imports if "genarm" in ast.unparse(node)]
    assert of_genarm == ["from genarm.registry.pyfunc_api import load_arm"]


def test_a_model_of_its_own_is_stored_fetched_and_answers_beside_the_base(
    store: Registry, tmp_path: Path, toy: Any
) -> None:
    """All weights trained: no adapter, so a whole folder is stored; `guides_id` names the base to find."""
    import mlflow
    import pandas as pd
    from toy_arms import card
    from toys import toy_model

    folder, source = tmp_path / "arm", resolve(str(toy.folder))
    toy_model(seed=7, layers=2).save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    said = dataclasses.replace(card(source), dimension=DIMENSION, model_id="elsewhere", guides_id=source.id)
    written = write_card(folder, said)
    register(store, folder)
    store.promote(DIMENSION, decision(store, folder), smoke_test=lambda _: None, actor="test")
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    got = store.fetch(DIMENSION, champion, tmp_path / "got")
    assert is_full(got) and read_card(got) == dataclasses.replace(written, weight=champion.weight)
    assert files(got) == files(folder)
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model("models:/genarm-positive@champion", model_config={"dtype": "float32"})
    asked = {"prompt": "hello", "weight": 1.0, "max_new_tokens": 4}
    answer = model.predict(pd.DataFrame([asked]))
    assert answer["tokens"].tolist() == [4] or answer["finish_reason"].tolist() == ["stop"]
    with pytest.raises(AdapterError, match="was trained from elsewhere, which contrast compares it with"):
        model.predict([asked | {"guidance": "contrast", "other_guidance": True}])
    assert model.predict([asked])["response"][0] == answer["response"][0], "as before"
