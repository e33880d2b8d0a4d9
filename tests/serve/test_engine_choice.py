"""Which engine `genarm serve` takes, and which options it refuses, before anything is loaded."""

import sys

import pytest
from cli_toys import PARAMS

from genarm.config import CanaryConfig, FeedbackConfig, ServeConfig
from genarm.errors import ConfigError
from genarm.pipeline.project import Project
from genarm.serve.engine_choice import HINTS, choose, find_python


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with vLLM's environment, on a machine with a GPU."""
    ours = tmp_path / ".venv-vllm" / "bin" / "python"
    ours.parent.mkdir(parents=True)
    ours.touch()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    return tmp_path


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    return Project(tmp_path).params


def test_without_vllm_the_way_to_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("genarm.serve.engine_choice.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="make serve-vllm"):
        find_python(tmp_path)
    ours = tmp_path / ".venv-vllm" / "bin" / "python"
    ours.parent.mkdir(parents=True)
    ours.touch()
    assert find_python(tmp_path) == ours


def test_vllm_is_taken_where_there_are_a_gpu_and_vllm(place, params):
    assert choose(None, {"--slots"}, params, place) == ("vllm", "there is a GPU, and vLLM is installed")
    assert choose("builtin", (), params, place) == ("builtin", "")


def test_else_the_built_in_engine_is(place, params, tmp_path, monkeypatch):
    tried = {"canary": CanaryConfig(dimension="length")}
    for given, settings, why in (
        ({"--keys", "--slots"}, params, "--keys is its alone"),
        ({"--trial"}, params, "--trial is its alone"),
        ((), params.model_copy(update={"serve": ServeConfig(**tried)}), "serve.canary is its alone"),
        ((), params.model_copy(update={"feedback": FeedbackConfig(store="a.db")}), "feedback.store is its"),
    ):
        engine, told = choose(None, given, settings, place)
        assert engine == "builtin" and told.startswith(why)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose(None, (), params, place) == ("builtin", "torch sees no GPU")


def test_torch_is_not_imported_before_it_matters(params, tmp_path, monkeypatch):
    monkeypatch.setattr("genarm.serve.engine_choice.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises
    engine, why = choose(None, (), params, tmp_path / "elsewhere")
    assert engine == "builtin" and why.startswith("vLLM is neither in")
    with pytest.raises(ConfigError, match="--keys is an option of the built-in engine alone"):
        choose("vllm", {"--keys"}, params, tmp_path)


@pytest.mark.parametrize(("engine", "option"), [(e, o) for e, options in HINTS.items() for o in options])
def test_what_an_engine_does_not_take_is_refused_with_what_does_it(params, place, engine, option):
    with pytest.raises(ConfigError, match=f"^{option} is an option of") as refused:
        choose(engine, {"--slots", option}, params, place)
    assert refused.value.hint == HINTS[engine][option]


def test_options_of_both_engines_do_not_go_together(place, params):
    with pytest.raises(ConfigError, match="--vllm-option is an option of vLLM's server alone"):
        choose(None, {"--vllm-option", "--timeout"}, params, place)
