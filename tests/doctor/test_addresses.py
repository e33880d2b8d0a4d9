"""The store's address as the doctor reads it: odd folders, settings, drivers, and what is no address."""

import importlib.util
import sqlite3

import pytest
from doctor_toys import one

from genarm import doctor
from genarm.doctor import mlflow_store


@pytest.mark.parametrize("name", ["a #b", "50%", "ünï"])
@pytest.mark.parametrize("query", ["", "?timeout=60"])
def test_a_store_in_an_odd_folder_is_in_order(name, query, tmp_path, quiet):
    path = tmp_path / name / "mlflow.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("create table alembic_version (version_num text)")
    quiet.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}{query}")
    assert one(mlflow_store.mlflow(tmp_path)).status == "ok"
    assert [f.name for f in path.parent.iterdir()] == ["mlflow.db"]


@pytest.mark.skipif(importlib.util.find_spec("pyodbc") is not None, reason="pyodbc is installed")
def test_a_driver_that_is_not_installed_comes_with_its_package(tmp_path, quiet):
    quiet.setenv("MLFLOW_TRACKING_URI", "mssql+pyodbc://me:secret@host/db")
    found = one(mlflow_store.mlflow(tmp_path))
    assert (found.status, found.fix) == ("fail", "python -m pip install 'pyodbc'")
    assert "secret" not in found.detail


def test_what_is_no_address_fails_with_the_way_to_write_it(tmp_path, quiet):
    quiet.setenv("MLFLOW_TRACKING_URI", "sqlite://mlflow.db")
    (found,) = [f for f in doctor.examine(tmp_path) if f.check == "mlflow"]
    assert found.status == "fail" and "three slashes" in found.fix


@pytest.mark.parametrize("address", ["localhost:5000", "SQLite:////nowhere/mlflow.db", " http://127.0.0.1:1"])
def test_what_mlflow_would_not_read_is_not_in_order(address, tmp_path, quiet):
    quiet.setenv("MLFLOW_TRACKING_URI", address)
    found = one(mlflow_store.mlflow(tmp_path))
    assert found.status == "fail" and "MLFLOW_TRACKING_URI" in f"{found.detail} {found.fix}"
