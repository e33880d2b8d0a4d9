"""compose.yaml, without containers: secrets and who gets them, health checks, and the files that it holds."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DEMANDED = re.compile(r"\$\{(\w+):\?")
RUNNING = {name: service for name, service in SERVICES.items() if service.get("restart") != "no"}
RUNNING.pop("backup")  # starts when it is asked to


def secrets_of(part: object) -> set[str]:
    return set(DEMANDED.findall(json.dumps(part)))


def filled(text: str) -> str:
    """A text with a word in place of each variable."""
    return re.sub(r"\$\{\w+(:[?+-][^}]*)?\}", "x1", text)


def test_what_is_secret_has_no_default_and_is_asked_for_in_the_example():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert secrets_of(COMPOSE) == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    others = set(re.findall(r"\$\{(\w+)", TEXT)) - secrets_of(COMPOSE)
    assert others == set(re.findall(r"^# ([A-Z_]+)=", example, re.MULTILINE))
    assert not [name for name in others if re.search("SECRET|PASSWORD|KEY", name)]
    values = re.findall(r"\b\w*(?:PASSWORD|SECRET\w*): (.+)", TEXT)
    assert len(values) > 8 and all(DEMANDED.match(value) for value in values)


def test_the_worker_gets_its_own_logins_and_reaches_no_database():
    worker = SERVICES["worker"]
    assert secrets_of(worker) == {"PREFECT_PASSWORD", "MLFLOW_WORKER_PASSWORD", "DVC_FILES_SECRET"}
    assert "networks" not in worker and COMPOSE["networks"]["databases"] == {"internal": True}
    assert SERVICES["database"]["networks"] == ["databases"]
    assert "docker.sock" not in TEXT
    ours = [service for service in SERVICES.values() if "build" in service]
    assert len(ours) == 7 and all(service["cap_drop"] == ["ALL"] for service in ours)
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in ours)


def test_the_server_reads_what_it_serves_and_writes_votes_alone():
    serve, example = SERVICES["serve"], SERVICES["worker"]
    assert secrets_of(serve) == {"MLFLOW_SERVE_PASSWORD"} and "networks" not in serve
    assert serve["environment"]["MLFLOW_TRACKING_USERNAME"] == "serve" and serve["profiles"] == ["serve"]
    assert serve["read_only"] and serve["init"] and serve["user"] == example["user"]
    read, *written = serve["volumes"]
    assert read.endswith("/params.yaml:/project/params.yaml:ro")
    assert written == ["serve:/project/.cache", "feedback:/feedback"] and written[1] in example["volumes"]
    [keys] = serve["secrets"]
    assert COMPOSE["secrets"] == {keys["source"]: {"file": "./keys.json"}}
    assert (ROOT / serve["build"]["dockerfile"]).is_file() and keys["target"] == "/etc/genarm/keys.json"
    assert "/keys.json" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_a_worker_does_one_thing_at_a_time_and_keeps_its_clones():
    worker = SERVICES["worker"]
    assert "--limit 1" in worker["command"]
    place = worker["environment"]["GENARM_WORK"]
    assert f"work:{place}" in worker["volumes"] and f"mkdir --mode=1777 {place}" in TEXT
    assert worker["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


def test_what_runs_is_checked_pinned_and_open_to_this_machine_alone():
    for name, service in RUNNING.items():
        assert {"test", "interval", "retries"} <= set(service["healthcheck"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert "build" in service or re.search(r":\d+(\.\d+)*$", service["image"]), name
    for name, service in SERVICES.items():
        for other, waits in service.get("depends_on", {}).items():
            ends = SERVICES[other].get("restart") == "no"
            condition = "service_completed_successfully" if ends else "service_healthy"
            assert waits == {"condition": condition}, (name, other)
    mounted = {v.partition(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v[0].isalpha()}
    assert mounted == set(COMPOSE["volumes"])
    assert {c["source"] for s in SERVICES.values() for c in s.get("configs", [])} == set(COMPOSE["configs"])


def test_the_files_in_it_are_what_their_programs_read():
    text = {name: filled(config["content"]) for name, config in COMPOSE["configs"].items()}
    for name in ("buckets", "users"):
        compile(text[name], name, "exec")
    users = configparser.ConfigParser()
    users.read_string(text["logins"])
    assert users["mlflow"]["default_permission"] == "READ"
    identities = json.loads(text["keys"])["identities"]
    rights = {one["name"]: one["actions"] for one in identities}
    assert all(action.endswith(f":{name}") for name in ("mlflow", "dvc") for action in rights[name])
    roles = re.findall(r"create role (\w+) login password '\w+';", text["databases"])
    assert roles == re.findall(r"create database (\w+) owner \1;", text["databases"]) == ["mlflow", "prefect"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_make_secrets_fills_in_values_that_nobody_knows_and_only_once(copy):
    def make() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["make", "secrets"], cwd=copy, capture_output=True, text=True)

    done = make()
    assert done.returncode == 0, done.stderr
    written = (copy / ".env").read_text(encoding="utf-8")
    values = re.findall(r"^(\w+)=([0-9a-f]{48})$", written, re.MULTILINE)
    assert {name for name, _ in values} == secrets_of(COMPOSE) and len({v for _, v in values}) == len(values)
    assert (copy / ".env").stat().st_mode & 0o777 == 0o600
    assert not [value for _, value in values if value in done.stdout + done.stderr]
    again = make()
    assert again.returncode and "exists already" in again.stdout + again.stderr
    assert (copy / ".env").read_text(encoding="utf-8") == written
