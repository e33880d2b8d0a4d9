"""The address of the MLflow store is read in one place, and shown without its secrets."""

from pathlib import Path

import pytest

from genarm.registry.tracking import TrackingAddress, tracking_address
from genarm.system.redact import redact


@pytest.mark.parametrize(
    ("uri", "kind", "database"),
    [
        ("sqlite:////a b/mlflow.db", "sqlite", Path("/a b/mlflow.db")),
        ("sqlite+pysqlite:////a/mlflow.db?timeout=5", "sqlite", Path("/a/mlflow.db")),
        ("sqlite:///mlflow.db", "sqlite", Path("mlflow.db")),
        ("postgresql+psycopg2://me:pw@host/db", "postgresql", None),
        ("https://host:5000", "https", None),
        ("./mlruns", "", None),
    ],
)
def test_an_address_says_what_kind_of_store_it_is(uri: str, kind: str, database: Path | None) -> None:
    address = TrackingAddress(uri)
    assert (address.kind, address.database) == (kind, database)
    assert address.is_server == (kind == "https")


def test_a_project_has_a_file_unless_the_environment_names_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert tracking_address(tmp_path).uri == "http://host" and tracking_address(tmp_path).may_exist
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    address = tracking_address(tmp_path)
    assert address.database == tmp_path / "mlflow" / "mlflow.db" and not address.may_exist
    address.database.parent.mkdir()
    address.database.touch()
    assert address.may_exist


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no server at http://me:pw@host:5000/base", "no server at http://host:5000/base"),
        ("http://token@host/x?key=1 and https://u@h/?y=z", "http://host/x and https://h/"),
        ("postgresql://me:p/w:d@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db"),
        ("http://me:p?w@host/x?q=1", "http://host/x"),
        ("{'url': 'http://a:b@c/d?e', 'x': 'p@q'}", "{'url': 'http://c/d', 'x': 'p@q'}"),
        ("hf://owner/name@revision", "hf://owner/name@revision"),
        ("what now? sqlite:////a b/mlflow.db", "what now? sqlite:////a b/mlflow.db"),
    ],
)
def test_no_login_and_no_query_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
