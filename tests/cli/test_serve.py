"""The options of `genarm serve`: each engine refuses those that it would not heed."""

import pytest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--engine", "vllm", "--max-open", "256"), "--max-open is an option of the built-in engine alone"),
        (("--engine", "vllm", "--timeout=9"), "--timeout is an option of the built-in engine alone"),
        (("--engine", "vllm", "--trial"), "--trial is an option of the built-in engine alone"),
        (("--engine", "vllm", "--keys", "keys.json"), "export VLLM_API_KEY="),
        (("--engine", "builtin", "--vllm-option=--seed=1"), "genarm serve --engine vllm"),
        (("--trial", "--vllm-option=--seed=1"), "--vllm-option is an option of vLLM's server alone"),
    ],
)
def test_an_option_that_the_engine_would_not_heed_is_refused(run, words, says):
    code, out, err = run("serve", *words)
    assert code == 1 and says in err and out == ""


def test_what_is_not_said_is_not_refused_and_the_choice_is_told(run, monkeypatch, project):
    """The default of --max-open is none that somebody gave; without vLLM the built-in engine serves."""
    from genarm.serve import engine_choice, vllm_engine
    from genarm.serve import run as builtin

    kept = {}
    monkeypatch.setattr(vllm_engine, "serve_by_vllm", lambda project, **options: kept.update(options) or 0)
    assert run("serve", "--engine", "vllm", "--max-body", "4096", "--slots", "3")[0] == 0
    assert (kept["max_body"], kept["slots"]) == (4096, 3)
    monkeypatch.setattr(engine_choice, "find_spec", lambda name: None)
    monkeypatch.setattr(builtin, "serve", lambda project, **options: None)
    code, _, err = run("serve")
    assert code == 0 and "engine: builtin, as vLLM is neither in" in err
    assert "engine:" not in run("serve", "--engine", "builtin")[2]
