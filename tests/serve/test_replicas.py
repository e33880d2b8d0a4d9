"""Two servers behind one address, as docs/serving.md has them: they share MLflow and the store of votes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import httpx
import pytest
from registry_server import mlflow_on, postgres
from served_toys import ASKED, HELLO, wait
from sqlalchemy import create_engine, make_url, text

from genarm import registry
from genarm.serve.keys import new_key

pytestmark = pytest.mark.slow

CHAT = {**ASKED, "messages": HELLO}
ASKS = {"prompt": "hello", "dimension": "kind", "user": "u1", "consent": True, "max_tokens": 8}
PARAMS = """\
base: {{model: "{base}", dtype: float32}}
dimensions:
  kind: {{data: k.jsonl, judge: length, weight: 1}}
respond: {{guidance: sum, sampling: {{temperature: 1, max_new_tokens: 12, seed: 5, top_p: 1.0}}}}
feedback: {{store: "env://VOTES"}}
"""


class Replica:
    """`genarm serve` in a process and a folder of its own, as a container has them."""

    def __init__(self, folder: Path, params: str, keys: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        (folder / "params.yaml").write_text(params)
        self.log = folder / "log"
        command = [str(Path(sys.executable).with_name("genarm")), "serve", "--port", "0", "--slots", "4"]
        with self.log.open("w") as told:
            self.process = subprocess.Popen(
                [*command, "--watch", "0.5", "--keys", str(keys)],
                cwd=folder, env=environment, stdout=told, stderr=told,
            )  # fmt: skip

    def started(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(httpx.HTTPError, TypeError):
            return httpx.get(f"{self.address}/ready").status_code == 200
        return False

    @property
    def address(self) -> str:
        return re.search(r"at (http://\S+)/v1", self.log.read_text())[1]

    def answered(self, path: str, status: int = 200) -> int:
        """How many requests this process answered so, by its own metrics."""
        line = rf'genarm_requests_total{{path="{re.escape(path)}",status="{status}"}} (\d+)'
        found = re.search(line, httpx.get(f"{self.address}/metrics").text)
        return int(found[1]) if found else 0


class Balanced:
    """One address, as a Service of Kubernetes: a connection goes to the next replica that takes it."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.addresses, self.turn = [replica.address for replica in replicas], count()

    def post(self, path: str, body: dict[str, object], headers: dict[str, str]) -> httpx.Response:
        for _ in self.addresses:
            address = self.addresses[next(self.turn) % len(self.addresses)]
            with suppress(httpx.ConnectError):
                return httpx.post(f"{address}/v1/{path}", json=body, headers=headers, timeout=120)
        raise AssertionError("no replica takes a connection")


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Iterator[None]:
    """MLflow and a database of votes, named by the environment."""
    for name in ("mlflow", "votes"):
        (tmp_path / name).mkdir()
    with postgres(tmp_path) as database:
        engine = create_engine(database, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("create database votes"))
        engine.dispose()
        votes = make_url(database).set(database="votes").render_as_string(hide_password=False)
        monkeypatch.setenv("VOTES", votes)
        with mlflow_on(database, tmp_path / "mlflow", workers=1) as address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            yield


def test_replicas_answer_as_one(shared, toy, arms, tmp_path):
    store = registry.connect(tmp_path)

    def promote(folder: Path) -> int:
        number = store.register("kind", folder, metrics={}, curves=[], lineage={})
        store.client.set_registered_model_alias("genarm-kind", "champion", str(number))
        return number

    first, keys = promote(arms["kind"]), tmp_path / "keys.json"
    team, slow = ({"Authorization": f"Bearer {new_key(keys, name)}"} for name in ("team", "slow"))
    rows = json.loads(keys.read_text())
    keys.write_text(json.dumps([*rows[:1], rows[1] | {"requests_per_minute": 2}]))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with ExitStack() as held:
        replicas = []
        for name in "ab":
            replica = Replica(tmp_path / name, PARAMS.format(base=toy.folder), keys, environment)
            held.callback(replica.process.wait)
            held.callback(replica.process.kill)
            replicas.append(replica)
        wait(lambda: all(replica.started() for replica in replicas))
        service = Balanced(replicas)

        def post(path: str, body: dict[str, object], key=team) -> httpx.Response:
            return service.post(path, body, key)

        def spread(path: str, status: int = 200) -> list[int]:
            return [replica.answered(path, status) for replica in replicas]

        def said(times: int) -> set[tuple[str, str]]:
            """The versions and texts of answers to one request that is repeated."""
            answers = [post("chat/completions", CHAT) for _ in range(times)]
            assert {answer.status_code for answer in answers} == {200}
            texts = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
            return {(a.headers["x-genarm-versions"], t) for a, t in zip(answers, texts, strict=True)}

        # One seed, one answer, whoever gives it.
        [(version, before)] = said(6)
        assert version == f"kind={first}" and spread("/v1/chat/completions") == [3, 3]

        # A vote counts wherever it comes, and once.
        id = post("comparisons", ASKS).json()["id"]
        vote = {"choice": "a", "user": "u1"}
        assert post(f"comparisons/{id}", vote).status_code == 200
        assert post(f"comparisons/{id}", vote).status_code == 409
        assert spread("/v1/comparisons") == [1, 0] and spread("/v1/comparisons/{id}") == [0, 1]
        assert spread("/v1/comparisons/{id}", 409) == [1, 0]

        # The limits of a key are those of one process: two replicas let twice as much through.
        short = {**CHAT, "max_tokens": 1}
        codes = [post("chat/completions", short, slow).status_code for _ in range(6)]
        assert codes == [200] * 4 + [429] * 2

        # A promotion reaches both.
        second = promote(arms["newer"])
        served = f'genarm_arm_version{{dimension="kind"}} {second}.0'
        wait(lambda: all(served in httpx.get(f"{r.address}/metrics").text for r in replicas))
        [(version, after)] = said(4)
        assert version == f"kind={second}" and after != before

        # One is gone without a word: the other goes on, and takes the votes on what it never asked.
        asked = [post("comparisons", ASKS).json()["id"] for _ in range(2)]
        replicas[0].process.kill()
        assert replicas[0].process.wait() == -signal.SIGKILL
        assert said(4) == {(version, after)}
        assert [post(f"comparisons/{id}", vote).status_code for id in asked] == [200, 200]

        # One that is told to end does so in order, and while it loads at once.
        replicas[1].process.terminate()
        assert replicas[1].process.wait(60) == 0, replicas[1].log.read_text()
        third = Replica(tmp_path / "c", PARAMS.format(base=toy.folder), keys, environment)
        held.callback(third.process.kill)
        wait(lambda: "loading" in third.log.read_text())
        third.process.terminate()
        assert third.process.wait(60) == 128 + signal.SIGTERM
