"""The examination: each trap is found, named with its fix, and no password is ever repeated."""

import base64
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from genarm import doctor
from genarm.doctor import machine, project, servers
from genarm.system import env

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text()


@pytest.fixture
def quiet(monkeypatch):
    """An environment without addresses, logins or switches of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "MLFLOW_", "HF_", "OMP_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", "/nowhere/.prefect")
    return monkeypatch


@pytest.fixture
def server():
    """A server that plays MLflow and Prefect; it notes the paths asked for and the logins."""
    answers = {"/health": "OK", "/version": "0.1", "/api/health": "true", "/api/admin/version": '"0.1"'}
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            known = self.path in answers
            self.send_response(200 if known else 302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answers.get(self.path, "").encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        http.answers, http.seen = answers, seen
        yield http
        http.shutdown()


def one(findings):
    (finding,) = findings
    return finding


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_it_is_quick_and_imports_nothing_heavy():
    program = (
        "import sys, time; from pathlib import Path; from genarm.system import env;"
        "env.prepare(Path.cwd());"
        "start = time.monotonic(); from genarm.doctor import examine; examine(Path.cwd());"
        "print(time.monotonic() - start); print(sorted({'torch', 'transformers', 'mlflow', 'prefect', 'dvc'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 3


def test_whatever_is_found_wrong_comes_with_a_fix(tmp_path, quiet):
    """An empty folder is wrong in many ways; one that cannot be examined is told, and hides no other."""
    quiet.setattr(doctor, "CHECKS", (*doctor.CHECKS, lambda root: 1 / 0))
    findings = doctor.examine(tmp_path)
    failed = {f.check for f in findings if f.status == "fail"}
    assert {"params.yaml", "dvc", "git", "champions"} <= failed
    assert all(bool(f.fix) == (f.status != "ok") for f in findings)
    assert "ZeroDivisionError" in findings[-1].detail
    console = Console(width=100)
    with console.capture() as captured:
        console.print(doctor.render(findings))
    shown = captured.get()
    assert f"{sum(f.status == 'fail' for f in findings)} failed" in shown
    assert "-> git restore data.dvc" in shown or "-> git restore dvc.yaml" in shown


def test_a_version_outside_its_range_is_named_with_the_command_that_mends_it(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=3.99"\n'
        'dependencies = ["rich>=14", "fastapi<0.1", "no-such-thing>=2", "tomli; python_version < \'3\'"]\n'
    )
    cap, missing = machine.libraries(tmp_path)
    assert (cap.check, cap.status, cap.fix) == ("fastapi", "fail", "python -m pip install 'fastapi<0.1'")
    assert "Prefect server does not start" in cap.detail
    assert missing.check == "no-such-thing" and "not installed" in missing.detail
    assert one(machine.python(tmp_path)).status == "fail"
    assert one(machine.libraries(ROOT)).status == one(machine.python(ROOT)).status == "ok"


def test_what_hides_mlflow_is_found(tmp_path, monkeypatch):
    (tmp_path / "mlflow").mkdir()
    assert one(machine.mlflow_import(tmp_path)).status == "ok"
    (tmp_path / "mlflow" / "types.py").touch()
    assert "mlflow/types.py" in one(machine.mlflow_import(tmp_path)).detail
    (tmp_path / "mlflow" / "__init__.py").touch()
    assert one(machine.mlflow_import(tmp_path)).fix == "rm mlflow/__init__.py"
    for file in (tmp_path / "mlflow").iterdir():
        file.unlink()
    monkeypatch.setattr(sys, "path", [])  # the library is not installed: the folder is what an import finds
    assert one(machine.mlflow_import(tmp_path)).status == "fail"


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("DO_NOT_TRACK", "true", "ok"),
        ("DO_NOT_TRACK", "1", "warn"),  # MLflow takes the word alone
        ("DVC_NO_ANALYTICS", "yes", "ok"),
        ("DVC_NO_ANALYTICS", "", "warn"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "0", "ok"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "true", "warn"),
    ],
)
def test_a_switch_that_silences_nothing_is_seen(name, value, status, monkeypatch):
    for other, silent in env.TELEMETRY_OFF.items():
        monkeypatch.setenv(other, silent)
    monkeypatch.setenv(name, value)
    finding = one(machine.telemetry(ROOT))
    assert finding.status == status
    assert (f"export {name}={env.TELEMETRY_OFF[name]}" == finding.fix) == (status == "warn")


def test_what_a_processor_can_do_is_read_from_its_flags(tmp_path):
    (tmp_path / "x86").write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16 sse\n\nflags\t: other\n")
    (tmp_path / "arm").write_text("Features : fp asimd bf16\n")
    assert machine.cpu_flags(tmp_path / "x86") == {"fpu", "avx512_bf16", "sse"}
    assert "bf16" in machine.cpu_flags(tmp_path / "arm")
    assert machine.cpu_flags(tmp_path / "none") == set()


def test_parameters_are_reported_with_the_nearest_key(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("max_tokens:", "max_token:"))
    assert "did you mean 'max_tokens'" in one(project.parameters(tmp_path)).detail
    assert project.base_model(tmp_path) == []  # said once


@pytest.mark.parametrize(
    ("model", "status", "told"),
    [
        ("nothing.gguf", "fail", "no GGUF file"),
        ("/no/such/folder", "fail", "is no folder"),
        ("somebody/something", "warn", "downloads it"),
    ],
)
def test_where_the_base_model_would_come_from(model, status, told, tmp_path, quiet):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("smollm2-135m-instruct", model))
    quiet.setenv("HF_HOME", str(tmp_path))
    found = one(project.base_model(tmp_path))
    assert found.status == status and told in found.detail
    quiet.setenv("HF_HUB_OFFLINE", "1")
    assert one(project.base_model(tmp_path)).status == "fail"
    (tmp_path / "hub" / "models--somebody--something" / "snapshots").mkdir(parents=True)
    assert (one(project.base_model(tmp_path)).status == "ok") == (status == "warn")


def test_a_conversion_that_the_disk_has_no_room_for_fails(tmp_path, quiet):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" * 100)
    (tmp_path / "params.yaml").write_text(PARAMS.replace("smollm2-135m-instruct", str(tmp_path / "m.gguf")))
    quiet.setenv("GENARM_CACHE", str(tmp_path / "cache" / "deep"))
    assert "converts it" in one(project.base_model(tmp_path)).detail
    quiet.setattr(project, "_free", lambda folder: 1000)
    assert "GENARM_CACHE" in one(project.base_model(tmp_path)).fix
    assert one(project.room(tmp_path)).status == "fail"


def test_a_lock_counts_while_it_is_held_and_not_because_its_file_is_there(tmp_path):
    lock = tmp_path / ".cache" / "run.lock"
    assert one(project.running(tmp_path)).status == "ok"
    lock.parent.mkdir()
    with FileLock(lock):
        assert one(project.running(tmp_path)).status == "warn"
    lock.touch()
    assert one(project.running(tmp_path)).detail == "free, left by an earlier run"


def test_the_state_of_dvc(tmp_path):
    zc = pytest.importorskip("zc.lockfile")
    for name in ("dvc.yaml", ".dvc/config", "data.dvc"):
        assert one(project.data_version(tmp_path)).status == "fail"
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    assert "not in data/ yet" in one(project.data_version(tmp_path)).detail
    (tmp_path / "data").mkdir()
    finding = one(project.data_version(tmp_path))
    assert finding.status == "ok" and "0123456789ab" in finding.detail
    (tmp_path / ".dvc" / "tmp").mkdir()
    held = zc.LockFile(str(tmp_path / ".dvc" / "tmp" / "lock"))  # the lock as DVC takes it
    assert "holds the repository" in one(project.data_version(tmp_path)).detail
    held.close()
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text('{"write": {')
    assert one(project.data_version(tmp_path)).fix == "rm .dvc/tmp/rwlock"


def test_the_commit_and_what_differs_from_it(tmp_path):
    assert one(project.git(tmp_path)).status == "fail"
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert one(project.git(tmp_path)).detail.endswith("clean")
    (tmp_path / "new").touch()
    assert "1 files differ" in one(project.git(tmp_path)).detail


def test_the_snapshot_of_the_champions(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    path = tmp_path / "mlflow" / "champions.json"
    assert "registry reconcile" in one(project.champions(tmp_path)).fix
    path.parent.mkdir()
    path.write_text(
        '{"plain": null, "positive": {"version": 3, "model_id": "m-1", "adapter_sha256": "ab", "weight": 1}}'
    )
    assert one(project.champions(tmp_path)).detail == "plain none yet, positive version 3"
    path.write_text('{"plain": null}')
    assert "no entry for 'positive'" in one(project.champions(tmp_path)).detail
    path.write_text('{"plain": {"version": "new"}}')
    assert one(project.champions(tmp_path)).status == "fail"


def test_the_local_tracking_store(tmp_path, quiet):
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    assert "made by the first run" in one(servers.mlflow(tmp_path)).detail
    with sqlite3.connect(path) as database:
        database.execute("create table other (a int)")
    assert "no MLflow database" in one(servers.mlflow(tmp_path)).detail
    with sqlite3.connect(path) as database:
        database.execute("create table alembic_version (version_num text)")
    assert one(servers.mlflow(tmp_path)).status == "ok"
    path.write_bytes(b"not a database at all, but long enough to look into" * 40)
    assert one(servers.mlflow(tmp_path)).status == "fail"
    quiet.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert "relative" in one(servers.mlflow(tmp_path)).detail
    quiet.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert one(servers.mlflow(tmp_path)).status == "fail"


@pytest.mark.parametrize(
    ("variable", "path", "check"),
    [("MLFLOW_TRACKING_URI", "", servers.mlflow), ("PREFECT_API_URL", "/api", servers.prefect)],
)
def test_a_server_is_asked_with_its_login_which_is_never_shown(
    variable, path, check, server, quiet, tmp_path
):
    quiet.setenv(variable, f"http://me:s3cr%3At@127.0.0.1:{server.server_port}{path}")
    older = one(check(tmp_path))
    assert older.status == "warn" and "is 0.1, this client" in older.detail
    assert {login for _, login in server.seen} == {"Basic " + base64.b64encode(b"me:s3cr:t").decode()}
    server.answers.clear()  # from here on it sends everyone elsewhere, where no login may go
    moved = one(check(tmp_path))
    assert moved.status == "fail" and "answers 302" in moved.detail
    assert "/elsewhere" not in {asked for asked, _ in server.seen}
    quiet.setenv(variable, f"http://me:s3cr%3At@127.0.0.1:{free_port()}{path}")
    gone = one(check(tmp_path))
    assert gone.status == "fail" and "does not answer" in gone.detail and f"unset {variable}" in gone.fix
    for finding in (older, moved, gone):
        assert "s3cr" not in finding.detail + finding.fix and "me:" not in finding.detail + finding.fix


@pytest.mark.parametrize("uri", ["postgresql://me:s3/cr:et@127.0.0.1:1/db", "http://me:s3/cr:et@127.0.0.1:1"])
def test_a_password_that_breaks_its_address_is_not_shown_either(uri, quiet, tmp_path):
    quiet.setenv("MLFLOW_TRACKING_URI", uri)
    finding = one(doctor._tried(servers.mlflow, tmp_path))
    assert finding.status == "fail"
    assert not {"s3", "cr", "et@"} & set(finding.detail.replace("/", " ").replace(":", " ").split())


def test_two_silent_servers_cost_one_time_out(quiet, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quiet.setenv("MLFLOW_TRACKING_URI", address)
        quiet.setenv("PREFECT_API_URL", f"{address}/api")
        quiet.setattr(servers, "PATIENCE", 0.5)
        quiet.setattr(doctor, "CHECKS", (servers.mlflow, servers.prefect))
        start = time.monotonic()
        assert [f.status for f in doctor.examine(tmp_path)] == ["fail", "fail"]
        assert time.monotonic() - start < 0.9


def test_the_server_of_prefect_is_found_in_its_profile(quiet, tmp_path, server):
    home = tmp_path / ".prefect"
    home.mkdir()
    quiet.setenv("PREFECT_HOME", str(home))
    quiet.setenv(servers.STARTUP, "120")
    assert "temporary server" in one(servers.prefect(tmp_path)).detail
    quiet.setenv(servers.STARTUP, "20")
    assert one(servers.prefect(tmp_path)).fix == f"export {servers.STARTUP}=120"
    url = f"http://127.0.0.1:{server.server_port}/api"
    (home / "profiles.toml").write_text(f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "{url}"\n')
    assert url in one(servers.prefect(tmp_path)).detail
    assert one(servers.prefect_home(tmp_path)).status == "ok"
    assert one(servers.prefect_home(tmp_path / "other")).status == "warn"


def test_a_port_is_free_or_taken_and_by_what(server):
    ours = servers._port(server.server_port, "prefect", "/api/admin/version", "another port")
    assert (ours.status, ours.detail) == ("ok", "prefect 0.1 runs there")
    server.answers["/api/admin/version"] = "<html>"
    assert "not by prefect" in servers._port(server.server_port, "prefect", "/api/admin/version", "x").detail
    assert servers._port(free_port(), "mlflow", "/version", "x").detail == "free for mlflow"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_promotion_left_half_done_is_found_in_the_registry(toy, quiet, tmp_path):
    from toy_arms import make_arm

    from genarm import models, registry
    from genarm.models import arm as arms
    from genarm.system.layout import Layout

    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "mlflow").mkdir()
    assert "no store yet" in one(servers.registry(tmp_path)).detail
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()  # looking makes nothing
    store, arm = registry.connect(tmp_path), tmp_path / "arm"
    make_arm(arm, models.resolve(str(toy.folder)), toy.model, seed=0)
    arms.write_card(arm, replace(arms.read_card(arm), dimension="plain"))
    version = store.register("plain", arm, metrics={}, curves=[], lineage={})
    store.client.set_registered_model_alias("genarm-plain", "champion", str(version))
    assert (
        "no champion" in one(servers.registry(tmp_path)).detail
    )  # so says champions.json, which is not there
    store.snapshot(Layout(tmp_path).champions, ["positive", "plain"])
    assert one(servers.registry(tmp_path)).status == "ok"
    store.client.set_model_version_tag("genarm-plain", str(version), "genarm.promotion", "pending")
    finding = one(servers.registry(tmp_path))
    assert finding.status == "fail" and finding.fix == "genarm registry reconcile"
    assert "plain version 1" in finding.detail
