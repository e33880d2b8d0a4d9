"""MLflow and Prefect: whether they answer, at which version, and no password is ever repeated."""

import base64
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_toys import PARAMS, free_port, one

from genarm import doctor
from genarm.doctor import http_get, mlflow_store, ports, prefect_server


def test_the_local_tracking_store(tmp_path, quiet):
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    assert "made by the first run" in one(mlflow_store.mlflow(tmp_path)).detail
    with sqlite3.connect(path) as database:
        database.execute("create table other (a int)")
    assert "no MLflow database" in one(mlflow_store.mlflow(tmp_path)).detail
    with sqlite3.connect(path) as database:
        database.execute("create table alembic_version (version_num text)")
    assert one(mlflow_store.mlflow(tmp_path)).status == "ok"
    path.write_bytes(b"not a database at all, but long enough to look into" * 40)
    assert one(mlflow_store.mlflow(tmp_path)).status == "fail"
    quiet.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert "relative" in one(mlflow_store.mlflow(tmp_path)).detail
    quiet.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert one(mlflow_store.mlflow(tmp_path)).status == "fail"


@pytest.mark.parametrize(
    ("variable", "path", "check"),
    [("MLFLOW_TRACKING_URI", "", mlflow_store.mlflow), ("PREFECT_API_URL", "/api", prefect_server.prefect)],
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


@pytest.mark.parametrize("uri", ["127.0.0.1:4200/api", "ftp://127.0.0.1/api", "http://[::1/api", "api"])
def test_an_address_that_is_none_is_told_with_the_variable(uri, quiet, tmp_path):
    quiet.setenv("PREFECT_API_URL", uri)
    found = one(prefect_server.prefect(tmp_path))
    assert found.status == "fail" and "is no address of a server" in found.detail
    assert "unset PREFECT_API_URL" in found.fix


def test_a_dead_server_that_a_profile_names_is_unset_in_the_profile(quiet, tmp_path):
    quiet.setenv("PREFECT_HOME", str(tmp_path / "a home"))
    (tmp_path / "a home").mkdir()
    profile = f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://127.0.0.1:{free_port()}/api"\n'
    (tmp_path / "a home" / "profiles.toml").write_text(profile)
    command = one(prefect_server.prefect(tmp_path)).fix.partition("or: ")[2]
    scripts = Path(sys.executable).parent
    subprocess.run(f"{command} --yes", shell=True, check=True, env={"PATH": f"{scripts}:/usr/bin:/bin"})
    assert prefect_server.setting("PREFECT_API_URL") == ""


@pytest.mark.parametrize("uri", ["postgresql://me:s3/cr:et@127.0.0.1:1/db", "http://me:s3/cr:et@127.0.0.1:1"])
def test_a_password_that_breaks_its_address_is_not_shown_either(uri, quiet, tmp_path):
    quiet.setenv("MLFLOW_TRACKING_URI", uri)
    quiet.setattr(doctor, "CHECKS", (mlflow_store.mlflow,))
    finding = one(doctor.examine(tmp_path))
    assert finding.status == "fail"
    assert not {"s3", "cr", "et@"} & set(finding.detail.replace("/", " ").replace(":", " ").split())


def test_two_silent_servers_cost_one_time_out(quiet, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quiet.setenv("MLFLOW_TRACKING_URI", address)
        quiet.setenv("PREFECT_API_URL", f"{address}/api")
        quiet.setattr(http_get, "PATIENCE", 0.5)
        quiet.setattr(doctor, "CHECKS", (mlflow_store.mlflow, prefect_server.prefect))
        start = time.monotonic()
        assert [f.status for f in doctor.examine(tmp_path)] == ["fail", "fail"]
        assert time.monotonic() - start < 0.9


def test_the_server_of_prefect_is_found_in_its_profile(quiet, tmp_path, server):
    home = tmp_path / ".prefect"
    home.mkdir()
    quiet.setenv("PREFECT_HOME", str(home))
    quiet.setenv(prefect_server.STARTUP, "120")
    assert "temporary server" in one(prefect_server.prefect(tmp_path)).detail
    quiet.setenv(prefect_server.STARTUP, "20")
    assert one(prefect_server.prefect(tmp_path)).fix == f"export {prefect_server.STARTUP}=120"
    url = f"http://127.0.0.1:{server.server_port}/api"
    (home / "profiles.toml").write_text(f'active = "a"\n[profiles.a]\nPREFECT_API_URL = "{url}"\n')
    assert url in one(prefect_server.prefect(tmp_path)).detail
    assert one(prefect_server.prefect_home(tmp_path)).status == "ok"
    assert one(prefect_server.prefect_home(tmp_path / "other")).status == "warn"


def test_a_port_is_free_or_taken_and_by_what(server):
    ours = ports.port(server.server_port, "prefect", "/api/admin/version", "another port")
    assert (ours.status, ours.detail) == ("ok", "prefect 0.1 runs there")
    server.answers["/api/admin/version"] = "<html>"
    assert "not by prefect" in ports.port(server.server_port, "prefect", "/api/admin/version", "x").detail
    assert ports.port(free_port(), "mlflow", "/version", "x").detail == "free for mlflow"


@pytest.mark.slow
def test_a_promotion_left_half_done_is_found_in_the_registry(toy, quiet, tmp_path):
    from toy_arms import make_arm

    from genarm import models, registry
    from genarm.models.arm import read_card, write_card
    from genarm.system.layout import Layout

    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "mlflow").mkdir()
    assert "no store yet" in one(mlflow_store.registry(tmp_path)).detail
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()  # looking makes nothing
    store, arm = registry.connect(tmp_path), tmp_path / "arm"
    make_arm(arm, models.resolve(str(toy.folder)), toy.model, seed=0)
    write_card(arm, replace(read_card(arm), dimension="plain"))
    version = store.register("plain", arm, metrics={}, curves=[], lineage={})
    store.client.set_registered_model_alias("genarm-plain", "champion", str(version))
    assert (
        "no champion" in one(mlflow_store.registry(tmp_path)).detail
    )  # so says champions.json, which is not there
    store.snapshot(Layout(tmp_path).champions, ["positive", "plain"])
    assert one(mlflow_store.registry(tmp_path)).status == "ok"
    store.client.set_model_version_tag("genarm-plain", str(version), "genarm.promotion", "pending")
    finding = one(mlflow_store.registry(tmp_path))
    assert finding.status == "fail" and finding.fix == "genarm registry reconcile"
    assert "plain version 1" in finding.detail
    store.client.delete_model_version_tag("genarm-plain", str(version), "genarm.promotion")
    store.client.set_model_version_tag("genarm-plain", str(version), "genarm.weight", "much")
    finding = one(mlflow_store.registry(tmp_path))
    assert finding.status == "fail" and finding.fix == "genarm registry reconcile"
    assert "genarm.weight = 'much', its files say" in finding.detail
    store.reconcile(["plain"])
    store.client.delete_run(store.show("plain")["run_id"])
    assert one(mlflow_store.registry(tmp_path)).status == "ok"
