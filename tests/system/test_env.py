"""The environment of a process: defaults are set once, and what the user has set is kept."""

import os
import sys
from pathlib import Path
from urllib.request import proxy_bypass

import pytest
from requests.utils import get_environ_proxies

from genarm.errors import ConfigError
from genarm.system.env import TELEMETRY_OFF, prepare, project_root


@pytest.fixture
def environment():
    """The process's own environment comes back afterwards."""
    kept = dict(os.environ)
    yield os.environ
    os.environ.clear()
    os.environ.update(kept)


def test_what_the_user_has_set_is_kept(environment, tmp_path):
    environment.update({"PREFECT_HOME": "mine", "DO_NOT_TRACK": "0"})
    environment.pop("MLFLOW_TRACKING_URI", None)
    prepare(tmp_path)
    assert (environment["PREFECT_HOME"], environment["DO_NOT_TRACK"]) == ("mine", "0")
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert set(TELEMETRY_OFF) <= set(environment)


def test_a_stage_is_run_by_the_genarm_of_this_interpreter(environment, tmp_path):
    environment["PATH"] = "/usr/bin"
    scripts = str(Path(sys.executable).parent)
    for _ in range(2):
        prepare(tmp_path)
        assert environment["PATH"].split(os.pathsep) == [scripts, "/usr/bin"]


def test_the_root_is_the_nearest_folder_with_parameters(tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_root(below) == below.resolve()
    (tmp_path / "params.yaml").touch()
    assert project_root(below) == tmp_path.resolve()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp.example, 127.0.0.1"}, "corp.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "corp.example"}, "corp.example,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_this_machine_is_never_asked_through_a_proxy(environment, tmp_path, before, after):
    for name in [name for name in environment if name.lower().endswith("_proxy")]:
        del environment[name]
    environment.update({"HTTP_PROXY": "http://127.0.0.1:9"} | before)
    for _ in range(2):
        prepare(tmp_path)
        assert (environment["NO_PROXY"], environment["no_proxy"]) == (after, after)
    for host in ("127.0.0.1:4200", "localhost:5000"):
        assert proxy_bypass(host), "as urllib, aiohttp and websockets decide it"
        assert not get_environ_proxies(f"http://{host}/api"), "as requests does"


def test_without_a_proxy_nothing_is_exempt(environment, tmp_path):
    for name in [name for name in environment if name.lower().endswith("_proxy")]:
        del environment[name]
    prepare(tmp_path)
    assert "NO_PROXY" not in environment


@pytest.mark.parametrize("name", ["a?b", "50%25", "{team}", "two\nlines"])
def test_a_folder_that_some_tool_would_read_as_another_is_refused(name, environment, tmp_path):
    environment.pop("MLFLOW_TRACKING_URI", None)
    with pytest.raises(ConfigError, match="a project cannot lie in .* hint: rename the folder"):
        prepare(tmp_path / name)


@pytest.mark.parametrize("name", ["a b", "a#b", "50%", "ünï 日本", "a&b=c;d+e,f@g:h", "it's", "[a]$b~"])
def test_any_other_name_will_do(name, environment, tmp_path):
    environment.pop("MLFLOW_TRACKING_URI", None)
    prepare(tmp_path / name)
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / name}/mlflow/mlflow.db"


def test_a_server_that_hangs_is_given_less_than_ten_seconds(environment, tmp_path):
    environment.pop("MLFLOW_HTTP_REQUEST_MAX_RETRIES", None)
    environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "77"
    prepare(tmp_path)
    assert environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    del environment["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    prepare(tmp_path)
    tries = 1 + int(environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    assert tries * int(environment["MLFLOW_HTTP_REQUEST_TIMEOUT"]) < 10
