"""A real server on loopback over toy models."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import torch
from browser import chromium
from served_toys import running
from toy_arms import make_arm

from genarm.config import FeedbackConfig
from genarm.decoding import load_decoder
from genarm.feedback.store import Store
from genarm.models import resolve
from genarm.models.arm import adapter_hash, read_card, write_card
from genarm.pipeline.project import Project
from genarm.serve.lineup import Lineup, ServedArm
from genarm.serve.service import Service
from genarm.types import Champion, Trial

WEIGHTS = {"kind": 0.8, "curt": 0.4}
Opened = Callable[..., Lineup]
PARAMS = """\
base: {{model: "{base}", dtype: float32}}
dimensions:
  kind: {{data: k.jsonl, judge: length, weight: 1}}
  curt: {{data: c.jsonl, judge: brief, weight: 1}}
respond: {{guidance: sum, sampling: {{temperature: 1, max_new_tokens: 12, seed: 5, top_p: 1.0}}}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Where votes of people are kept."""
    made = Store(FeedbackConfig(store="f.db"), tmp_path_factory.mktemp("votes"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def arms(toy, tmp_path_factory) -> dict[str, Path]:
    """Two versions of `kind`, one of `curt`."""
    torch.set_num_threads(1)
    source, root = resolve(str(toy.folder)), tmp_path_factory.mktemp("served")
    made = {n: make_arm(root / n, source, toy.model, seed=i) for i, n in enumerate(("kind", "curt", "newer"))}
    for name, folder in made.items():
        dimension = "kind" if name == "newer" else name
        write_card(folder, replace(read_card(folder), dimension=dimension))
    return made


@pytest.fixture(scope="session")
def opened(toy, arms) -> Opened:
    """A lineup of `kind` at a version, and `curt` at 1; `kind` by contrast."""

    def open_lineup(kind: str = "kind", version: int = 3, slots: int = 8) -> Lineup:
        folders = {"kind": arms[kind], "curt": arms["curt"]}
        decoder = load_decoder(resolve(str(toy.folder)), folders, dtype="float32", batch_size=slots)
        served = {
            d: ServedArm(
                d,
                Champion(
                    version if d == "kind" else 1,
                    "m",
                    adapter_hash(folder),
                    WEIGHTS[d],
                    "contrast" if d == "kind" else "sum",
                ),
            )
            for d, folder in folders.items()
        }
        return Lineup(decoder, "toy", served)

    return open_lineup


@pytest.fixture(scope="session")
def lineup(opened) -> Lineup:
    return opened()


@pytest.fixture(scope="session")
def both(toy, arms) -> tuple[Lineup, Trial]:
    """`kind` at 3 by contrast, its challenger 4 by sum beside it in one decoder, and `curt`."""
    folders = {"kind": arms["kind"], "curt": arms["curt"], "kind@4": arms["newer"]}
    decoder = load_decoder(resolve(str(toy.folder)), folders, dtype="float32", batch_size=8)
    champion = Champion(3, "m", adapter_hash(arms["kind"]), 0.8, "contrast")
    challenger = Champion(4, "m", adapter_hash(arms["newer"]), 1.5, "sum")
    curt = Champion(1, "m", adapter_hash(arms["curt"]), 0.4, "sum")
    served = {"kind": ServedArm("kind", champion), "curt": ServedArm("curt", curt)}
    return Lineup(decoder, "toy", served), Trial("kind", challenger, champion)


@pytest.fixture(scope="session")
def service(lineup) -> Service:
    return Service(lineup)


@pytest.fixture(scope="session")
def address(service) -> Iterator[str]:
    with running(service) as at:
        yield at


@pytest.fixture
def client(address) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def context(browser):
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    made.set_default_timeout(60_000)
    yield made
    made.close()


@pytest.fixture
def page(context, address):
    """The page of the toy server; what the console says against it fails the test."""
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector(".slider")
    yield opened
    assert complaints == []


@pytest.fixture
def project(toy, tmp_path, monkeypatch):
    """Two dimensions, and a registry of its own, empty."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text(PARAMS.format(base=toy.folder))
    (tmp_path / "mlflow").mkdir()
    return Project(tmp_path)
