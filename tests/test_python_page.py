"""The script of docs/python.md runs from top to bottom, on toys, without a network."""

import dataclasses
import json
import re
from pathlib import Path

from toy_arms import card, make_arm

from genarm import registry
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.registry.pyfunc_rows import SETTINGS
from genarm.types import Decision

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_script_of_the_page_runs(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GENARM_DTYPE", "float32")
    source, store = resolve(str(toy.folder)), registry.connect(tmp_path)
    for seed, name in enumerate(("positive", "plain")):
        folder = make_arm(Path("artifacts/arms") / name, source, toy.model, seed=seed)
        write_card(folder, dataclasses.replace(card(source), dimension=name, weight=0.5))
        store.register(name, folder, metrics={})
        decided = Decision(name, "promote", ["better"], read_card(folder).adapter_sha256, None)
        store.promote(name, decided, smoke_test=lambda _: None, actor="test")
    script = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    for shown, here in (("smollm2-135m-instruct", str(toy.folder)), ("bfloat16", "float32")):
        assert shown in script
        script = script.replace(shown, here)
    exec(compile(script, "python.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.startswith("0.00 nats a token") and said.rstrip().endswith("4 is its rank")


def test_the_settings_of_the_page_are_those_of_the_model():
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| ", PAGE, re.MULTILINE))
    assert list(table) == list(SETTINGS)
    for name, default in SETTINGS.items():
        assert default is None or json.loads(table[name]) == default
