"""A project in which commands are typed, and what earlier stages have written there."""

import os

import pytest
from cli_toys import PARAMS, PROMPTS, STATS

from genarm.cli import main as cli
from genarm.models.arm import CONFIG, WEIGHTS, adapter_hash, write_card
from genarm.system.files import write_json, write_rows
from genarm.system.layout import Layout
from genarm.types import ArmCard, Champion, Response, Tuned


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with parameters; the process's own environment comes back afterwards."""
    kept = dict(os.environ)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Exit code, standard output and standard error of a command."""

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["genarm", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return typed


@pytest.fixture
def answered(project):
    """`length` has a challenger that says more than the base; `brief` is the version in use, and unasked."""
    layout = Layout(project)
    for dimension in ("length", "brief"):
        folder = layout.arm(dimension)
        folder.mkdir(parents=True)
        (folder / CONFIG).write_text("{}")
        (folder / WEIGHTS).write_bytes(dimension.encode())
        write_card(folder, ArmCard(dimension, "b", None, "w", "b", None, "t", "", 0.1, 1.0, "p", None, None))
        write_json(layout.train_metrics(dimension), {"accuracy": 0.7})
        layout.train_curves(dimension).write_text("step,loss\n1,0.7\n")
        write_json(layout.pairs_stats(dimension), STATS)
        write_rows(layout.quarantine(dimension), [])
        write_json(layout.tuned(dimension), Tuned(1.0, "sum", "params.yaml", "it is said there"))
    used = Champion(4, "m-4", adapter_hash(layout.arm("brief")), 1.0)
    for versions in (layout.champions, layout.incumbents):
        write_json(versions, {"length": None, "brief": used})
    write_rows(layout.prompts, PROMPTS)
    for side, text in (("base", "short"), ("challenger", "a good deal longer")):
        rows = [Response(p.id, text, len(text), "stop", -3.0, 0.1) for p in PROMPTS]
        write_rows(layout.responses(side, None if side == "base" else "length"), rows)
    write_rows(layout.responses("champion", "length"), [])
    return layout
