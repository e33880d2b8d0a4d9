"""A reward model of the hub: whether it has a head is known before its weights are fetched."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
from data_server import Server
from toy_rewards import change_tensors, llama, save

from genarm.config import JudgeConfig
from genarm.errors import JudgeError, Unreachable
from genarm.judges.check import check

ON_HUB = JudgeConfig(reward_model={"model": "team/model", "revision": "v1"})


class CountingServer(Server):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{Path(self.path).name}-{len(self.asked)}"')  # by which files are kept
        self.send_header("X-Error-Code", "EntryNotFound")  # read where the status is 404
        http.server.SimpleHTTPRequestHandler.end_headers(self)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of a model that a server on loopback shows as the hub does, and what is asked of it."""
    folder, asked = tmp_path / "web", []
    save(folder, llama())
    handler = functools.partial(type("Asked", (CountingServer,), {"asked": asked}), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        files = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        yield folder, asked
        server.shutdown()


def test_a_head_is_looked_for_in_the_header_and_no_weights_are_kept(hub, tmp_path):
    folder, asked = hub
    check(ON_HUB)
    assert [path for path in asked if path.endswith("model.safetensors")], "its header was read"
    assert not list((tmp_path / "hub").rglob("*.safetensors"))
    change_tensors(folder, lambda tensors: tensors.pop("score.weight"))
    with pytest.raises(JudgeError, match=r"weights of team/model lack what .* scores with: score\.weight"):
        check(ON_HUB)


def test_a_model_of_several_files_is_known_by_its_index(hub):
    folder, asked = hub
    llama().save_pretrained(folder / "shards", max_shard_size="20KB")
    (folder / "model.safetensors").unlink()
    (folder / "shards" / "model.safetensors.index.json").rename(folder / "model.safetensors.index.json")
    check(ON_HUB)
    assert not [path for path in asked if path.endswith(".safetensors")]


def test_pickled_weights_and_a_hub_that_is_away_are_told(hub, monkeypatch):
    folder, _ = hub
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(JudgeError, match="neither model.safetensors nor .* on the hub"):
        check(ON_HUB)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    with pytest.raises(Unreachable, match="weights of 'team/model' are not in the local cache"):
        check(ON_HUB)
