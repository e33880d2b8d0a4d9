"""Champions followed for vLLM: what is ordered, with the orders noted down; and all of it for real."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from served_toys import promoted, wait
from toy_arms import family_model, make_arm

from genarm import registry
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import GenarmError
from genarm.models import resolve
from genarm.models.arm import adapter_hash, read_card, write_card
from genarm.pipeline.project import Project
from genarm.serve.opening import Opener
from genarm.serve.vllm_body import read_served
from genarm.serve.vllm_follow import Follower
from genarm.types import Message

ROOT = Path(__file__).parents[2]
SHAPE = {  # heads of 32, the narrowest that vLLM has on a CPU
    "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 256, "initializer_range": 0.2,
}  # fmt: skip
HELLO = [{"role": "user", "content": "hello"}]


class Orders:
    """Notes what is ordered; refuses or fails as it is told."""

    def __init__(self) -> None:
        self.given, self.says, self.fails = [], {"refused": {}, "failed": {}}, False

    def __call__(self, load, served):
        if self.fails:
            raise GenarmError("open requests did not end")
        self.given.append((set(load), read_served(served).versions))
        return self.says


@pytest.mark.slow
def test_what_changed_is_ordered_once_and_what_does_not_fit_stays_out(project, arms, caplog, monkeypatch):
    store, orders = registry.connect(project.root), Orders()
    first = promoted(store, arms["kind"])
    opener = Opener(project, {}, slots=4)
    said: list[str] = []
    follower = Follower(opener, opener.wanted(), orders, said.append)
    assert not follower.look() and orders.given == []
    second = promoted(store, arms["newer"])
    orders.fails = True
    assert not follower.look() and "a later look tries again" in caplog.text
    orders.fails = False
    assert not follower.look() and orders.given == [], "it rests after a failure"
    monkeypatch.setattr(follower, "_rests_until", 0.0)
    assert follower.look() and not follower.look()
    assert orders.given == [({"kind"}, {"kind": second})] and said[0].startswith(f"now served: kind@{second}")
    assert [f.name.partition("-")[0] for f in (project.root / ".cache/serve/kind").iterdir()] == [str(second)]
    orders.says["refused"] = {"kind": "it has rank 64"}
    promoted(store, None, first)
    assert not follower.look() and not follower.look() and len(orders.given) == 2
    assert follower.arms["kind"].champion.version == second
    assert f"kind@{first} at weight 1 by sum cannot be served: it has rank 64" in caplog.text
    promoted(store, None, second)
    assert not follower.look() and len(orders.given) == 2, "back to what is served"
    store.client.set_registered_model_alias(
        "genarm-curt",
        "champion",
        str(store.register("curt", arms["curt"], metrics={}, curves=[], lineage={})),
    )
    assert not follower.look() and "vLLM has no rows for this dimension" in caplog.text


@pytest.mark.slow
def test_an_order_without_an_answer_is_given_anew_and_what_failed_is_not_served(project, arms, monkeypatch):
    """The champion may be back at what was served before, and the server not: all is loaded again."""
    store, orders = registry.connect(project.root), Orders()
    first = promoted(store, arms["kind"])
    opener = Opener(project, {}, slots=4)
    follower = Follower(opener, opener.wanted(), orders, print)
    monkeypatch.setattr("genarm.serve.vllm_follow.REST", 0.0)
    second = promoted(store, arms["newer"])
    orders.fails = True
    assert not follower.look()
    orders.fails, orders.says["refused"] = False, {"kind": "it has rank 64"}
    promoted(store, None, first)
    assert not follower.look() and not follower.look(), "which version stayed is not known"
    orders.says["refused"] = {}
    assert not follower.look() and not follower.look()
    assert orders.given == [({"kind"}, {"kind": first})] * 3
    orders.says["failed"] = {"kind": "no memory"}
    promoted(store, None, second)
    assert follower.look() and follower.arms == {}
    orders.says["failed"] = {}
    assert follower.look() and follower.arms["kind"].champion.version == second


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv-vllm" / "ready").exists(), reason="make serve-vllm")
def test_vllm_serves_a_registry_and_follows_its_promotions(toy, tmp_path, monkeypatch, project):
    """`genarm serve --engine vllm`: each answer is wholly the one version's that it names; none fails."""
    model = family_model("llama", tmp_path / "base", toy.tokenizer, **SHAPE)
    source = resolve(str(tmp_path / "base"))
    made = {}
    small = {"r": 4, "layers_to_transform": [3], "target_modules": ["q_proj", "up_proj"]}
    # the next has what `params.yaml` trains, all layers and rank 8; the last has more
    for seed, (name, lora) in enumerate({"one": small, "two": {"r": 8}, "wide": {"r": 64}}.items()):
        made[name] = make_arm(tmp_path / name, source, model, seed=seed, **lora)
        write_card(made[name], replace(read_card(made[name]), dimension="kind"))
    params = (project.root / "params.yaml").read_text().replace(str(toy.folder), str(tmp_path / "base"))
    (project.root / "params.yaml").write_text(params)
    (project.root / ".venv-vllm").symlink_to(ROOT / ".venv-vllm")
    store = registry.connect(project.root)
    first = promoted(store, made["one"])
    wanted = {}
    for number, name in ((first, "one"), (first + 1, "two")):
        decoder = load_decoder(source, {"kind": made[name]}, dtype="float32")
        prompt = decoder.prompt([Message("user", "hello")])
        ask = GuidedRequest(prompt, {"kind": 1.0}, temperature=0.0, max_new_tokens=24)
        wanted[f"kind={number}"] = list(decoder.generate([ask])[0].tokens)
    assert wanted[f"kind={first}"] != wanted[f"kind={first + 1}"]
    seen: list[str] = []

    def post(client: httpx.Client) -> str:
        body = {"model": "guided", "temperature": 0, "max_tokens": 24, "return_token_ids": True}
        answer = client.post("/v1/chat/completions", json=body | {"messages": HELLO})
        assert answer.status_code == 200, answer.text
        version = answer.headers["x-genarm-versions"]
        assert answer.json()["choices"][0]["token_ids"] == wanted[version]
        seen.append(version)
        return version

    with VllmServer(project, tmp_path / "log") as (server, client), ThreadPoolExecutor(3) as pool:
        assert post(client) == f"kind={first}"
        assert client.post("/v1/completions", content=b" " * 70_000).status_code == 413
        [arm] = client.get("/v1/arms").json()["data"]
        assert arm["adapter_sha256"] == adapter_hash(made["one"])
        stop: list[None] = []

        def keep_asking() -> None:
            while not stop:
                post(client)

        asking = [pool.submit(keep_asking) for _ in range(3)]
        try:
            second = promoted(store, made["two"])
            wait(lambda: f"kind={second}" in seen or any(f.done() for f in asking), 120)
        finally:
            stop.append(None)
        for future in asking:
            future.result()
        names = [model["id"] for model in client.get("/v1/models").json()["data"]]
        assert names == ["base", "guided", f"guided:kind@{second}"]
        promoted(store, made["wide"])
        wait(lambda: "has rank 64, and there is room for 8" in (tmp_path / "log").read_text(), 120)
        assert post(client) == f"kind={second}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


class VllmServer:
    """`genarm serve --engine vllm` while it runs: the process, and a client of what it serves."""

    def __init__(self, project: Project, log: Path) -> None:
        self.project, self.log = project, log

    def __enter__(self) -> tuple[subprocess.Popen[bytes], httpx.Client]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1"}
        own |= {"TORCH_COMPILE_DISABLE": "1"}
        command = [Path(sys.executable).with_name("genarm"), "serve", "--engine", "vllm", "--watch", "0.5"]
        command += ["--max-body", "65536"]
        more = [f"--vllm-option={o}" for o in ("--enforce-eager", "--max-model-len=256", "--block-size=32")]
        with self.log.open("w") as told:
            self.server = subprocess.Popen(
                [*command, "--port", str(port), "--slots", "4", *more],
                cwd=self.project.root, env=os.environ | own, stdout=told, stderr=told,
            )  # fmt: skip
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        try:
            wait(self._ready, 600)
        except BaseException:
            self.__exit__()
            raise
        return self.server, self.client

    def _ready(self) -> bool:
        assert self.server.poll() is None, self.log.read_text()[-4000:]
        with suppress(httpx.TransportError):
            return self.client.get("/health").status_code == 200
        return False

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.kill()
        self.server.wait()
