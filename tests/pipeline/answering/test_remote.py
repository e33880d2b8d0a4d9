"""Guided servers answer as the built-in engine does; another base, version or key is refused."""

from dataclasses import replace

import pytest
from answering_toys import answers, lineup, same, with_engine
from served_toys import running

from genarm.errors import ConfigError, ModelError, RequestError, Unreachable
from genarm.pipeline.preflight.servers import servers
from genarm.serve.keys import Keys, new_key, read_keys
from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings


@pytest.fixture(autouse=True)
def forget(project):
    """No answer of an earlier test is used again."""
    for file in project.layout.kept.glob("*"):
        file.unlink()


@pytest.mark.parametrize("side", ["base", "challenger", "champion"])
def test_two_servers_answer_as_the_built_in_engine_does(project, toy, two_servers, built_in, side):
    asked = with_engine(project, toy, {"server": two_servers, "concurrency": 4})
    same(answers(asked, side), built_in[side])


def test_a_seed_is_64_bits_wide_on_the_way(project):
    """Half of the prompts have seeds that JSON's signed integers do not hold, and are answered alike."""
    from genarm.evaluation.respond import prompt_seed

    assert any(prompt_seed(2, prompt) >= 2**63 for prompt in project.prompts())


def test_one_that_is_busy_is_asked_again_when_it_says(
    project, toy, served, other, built_in, tmp_path, monkeypatch
):
    """503 of a server with two places, 429 of a key with two: both name the seconds to wait."""
    key = new_key(tmp_path / "keys.json", "stage")
    keys = [replace(found, open_requests=2) for found in read_keys(tmp_path / "keys.json")]
    monkeypatch.setenv("GUIDED_KEY", key)
    small = Service(served, ServeSettings(max_open=2), Keys(read_keys(tmp_path / "keys.json")))
    with running(small) as one, running(Service(other, keys=Keys(keys))) as second:
        engine = {"server": [f"{one}/v1", f"{second}/v1"], "key": "GUIDED_KEY", "concurrency": 5}
        same(answers(with_engine(project, toy, engine), "base"), built_in["base"])


def test_a_request_that_is_refused_is_not_repeated(project, toy, two_servers):
    asked = with_engine(project, toy, {"server": two_servers}, temperature=3)
    with pytest.raises(RequestError, match=r"/v1 refuses a request: 400 temperature"):
        answers(asked, "base")


def test_another_version_is_refused_with_both_and_the_command(project, toy):
    with running(Service(lineup(project, toy, trial=False))) as address:
        asked = with_engine(project, toy, {"server": f"{address}/v1"})
        has, wants = project.incumbents()["kind"].adapter_sha256[:12], "of kind by contrast"
        with pytest.raises(ModelError, match=rf"serves kind@1 \({has}, sum\), and not .* {wants}") as told:
            answers(asked, "challenger")
        assert "genarm serve --pin kind=VERSION" in told.value.hint and "--trial" in told.value.hint


def test_another_base_is_refused_with_both(project, toy, served):
    other = replace(served, identity={**served.identity, "dtype": "bfloat16"})
    with running(Service(other)) as address:
        asked = with_engine(project, toy, {"server": f"{address}/v1"})
        with pytest.raises(ConfigError, match="dtype bfloat16 there, float32 here"):
            answers(asked, "base")
        [result] = servers(asked)
        assert result.status == "fail" and "dtype bfloat16 there" in result.detail


def test_a_key_comes_from_the_environment_and_is_not_shown(project, toy, served, tmp_path, monkeypatch):
    key = new_key(tmp_path / "keys.json", "stage")
    monkeypatch.delenv("GUIDED_KEY", raising=False)
    with running(Service(served, keys=Keys(read_keys(tmp_path / "keys.json")))) as address:
        asked = with_engine(project, toy, {"server": f"{address}/v1", "key": "GUIDED_KEY"})
        with pytest.raises(ConfigError, match="GUIDED_KEY, which should hold the key of .* is not set"):
            answers(asked, "base")
        monkeypatch.setenv("GUIDED_KEY", f"x{key}")
        with pytest.raises(ConfigError, match="refuses the key: 401") as told:
            answers(asked, "base")
        assert key not in str(told.value) and "GUIDED_KEY" in told.value.hint


def test_servers_that_do_not_answer_are_given_up_and_told_before_a_run(project, toy, two_servers, built_in):
    nobody = "http://127.0.0.1:9/v1"
    asked = with_engine(project, toy, {"server": nobody, "patience": 0.7})
    with pytest.raises(Unreachable, match=rf"{nobody}: ConnectError"):
        answers(asked, "base")
    assert servers(asked)[0].status == "fail"
    asked = with_engine(project, toy, {"server": [nobody, *two_servers]})
    assert [result.status for result in servers(asked)] == ["warn"]
    same(answers(asked, "base"), built_in["base"])
