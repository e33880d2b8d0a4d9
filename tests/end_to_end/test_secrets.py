"""Secrets planted wherever a run is given one, and looked for in everything that it leaves behind."""

import base64
import http.server
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from toy_pipeline import environment, genarm, git, make_base, make_project, toy_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("secrets")]

SECRETS = {
    name: f"planted{number:02d}{'kept0nlyInMem0ry'[::-1]}"
    for number, name in enumerate(
        [
            "url password", "url signature", "gone signature", "named address", "tracking uri",
            "tracking password", "hub token", "aws key", "aws secret", "aws session", "prefect login",
            "proxy", "git remote",
        ]
    )
}  # fmt: skip


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def web(folder: Path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def mlflow_server(folder: Path):
    """A real MLflow server, which takes any login."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination", f"{folder}/store",
        ],
        cwd=folder, env=environment(folder) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        log.close()


def planted(home: Path, tracking: str) -> dict[str, str]:
    """The environment of somebody with many secrets, whose caches are searched too."""
    user = {"HOME": str(home), "TMPDIR": str(home), "DVC_SITE_CACHE_DIR": str(home / "dvc")}
    return user | {
        "MLFLOW_TRACKING_URI": f"http://bob:{SECRETS['tracking uri']}@{tracking}",
        "MLFLOW_TRACKING_USERNAME": "bob",
        "MLFLOW_TRACKING_PASSWORD": SECRETS["tracking password"],
        "HF_TOKEN": SECRETS["hub token"],
        "AWS_ACCESS_KEY_ID": SECRETS["aws key"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["aws secret"],
        "AWS_SESSION_TOKEN": SECRETS["aws session"],
        "PREFECT_API_AUTH_STRING": f"bob:{SECRETS['prefect login']}",
        "HTTP_PROXY": f"http://bob:{SECRETS['proxy']}@127.0.0.1:9",
    }


def encodings(secret: str) -> list[bytes]:
    """A secret as it is, and as it stands within base64, wherever its bytes begin there."""
    plain = secret.encode()
    shifted = [base64.b64encode(b"x" * n + plain)[4 if n else 0 : -4] for n in range(3)]
    return [plain, plain.hex().encode(), *shifted]


def found(content: bytes) -> set[str]:
    return {name for name, secret in SECRETS.items() for text in encodings(secret) if text in content}


def test_the_search_finds_what_is_there():
    secret = SECRETS["aws key"]
    for content in (secret, base64.b64encode(f"bob:{secret}".encode()).decode(), secret.encode().hex()):
        assert found(f"before {content} after".encode()) == {"aws key"}


def test_no_secret_outlives_a_run(tmp_path):
    base, project, home, served = (tmp_path / name for name in ("base", "project", "home", "served"))
    home.mkdir()
    served.mkdir()
    make_base(base)
    params = toy_params(base)
    params["dimensions"]["digits"]["data"] = "vowels.jsonl"
    make_project(project, params)
    (served / "vowels.jsonl").write_bytes((project / "seed" / "vowels.jsonl").read_bytes())
    git(project, "remote", "set-url", "origin", f"https://bob:{SECRETS['git remote']}@example.org/x.git")
    told = []
    with web(served) as address:
        with mlflow_server(tmp_path / "mlflow-server") as tracking:
            shell = planted(home, tracking)
            run = partial(genarm, project, **shell)
            file = f"http://{address}/vowels.jsonl"
            login = file.replace("http://", f"http://bob:{SECRETS['url password']}@")
            told += [
                run("data", login, ok=False),
                run("data", f"{file}?X-Amz-Signature={SECRETS['url signature']}"),
            ]
            assert "carries a user name or password" in told[0]
            told.append(run("data", f"http://{address}/gone.jsonl?sig={SECRETS['gone signature']}", ok=False))
            assert "nothing there, or no answer" in told[-1]
            named = {"DATA_ADDRESS": f"{file}?sig={SECRETS['named address']}"}
            told.append(genarm(project, "data", "env://DATA_ADDRESS", **shell | named))
            told += [run("run"), run("registry", "list"), run("doctor", "--deep")]
        (project / "mlflow" / "champions.json").unlink()
        told.append(run("run", ok=False))  # the server is away: what libraries say of that is logged
        assert "no MLflow server answers" in told[-1]
    git(project, "add", "-A")
    git(project, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "after")
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project, check=True, capture_output=True
    ).stdout
    where = {"the screen": found("".join(told).encode()), "git": found(objects)}
    searched = [
        f for top in (project, home, tmp_path / "mlflow-server") for f in top.rglob("*") if f.is_file()
    ]
    where |= {str(f): found(f.read_bytes()) for f in searched if f != project / ".git" / "config"}
    for part in (".prefect/prefect.db", "data.dvc", "dvc.lock", "artifacts/report/report.html"):
        assert str(project / part) in where
    assert not {place: names for place, names in where.items() if names}
