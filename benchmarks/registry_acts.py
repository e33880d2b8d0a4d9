"""What the processes of `faults_registry` do to a registry, and the ARMs that they do it with."""

import contextlib
import io
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from genarm import registry
from genarm.errors import Busy, RegistryError, StaleDecision
from genarm.models.arm import CONFIG, WEIGHTS, write_card
from genarm.registry import Registry, tags
from genarm.system.files import write_json
from genarm.types import ArmCard

DIMENSION = "positive"
ARMS = 6
REFUSALS = (
    "nothing to roll back",
    "no champion before",
    "is blocked",
    "is the champion already",
    "interrupted",
)


@dataclass(frozen=True)
class Change:
    """A command: `promote` the version `what`, `rollback`, `register` the folder `what`, read the `trail`."""

    verb: str
    number: int
    what: str

    @property
    def actor(self) -> str:
        """Who is on record for it, which tells it from every other change."""
        return f"change {self.number}"


def make_arm(folder: Path, number: int) -> Path:
    """An ARM of a few bytes, which nothing but the registry can use."""
    arm = folder / f"arm {number}"
    arm.mkdir(parents=True)
    write_json(arm / CONFIG, {"r": 1, "peft_type": "LORA"})
    save_file({"lora_A": np.full((1, 2), number, dtype=np.float32)}, arm / WEIGHTS)
    card = ArmCard(
        dimension=DIMENSION,
        model_id="toy",
        model_revision=None,
        model_weights_sha256="b" * 64,
        guides_id="toy",
        guides_revision=None,
        tokenizer_sha256="t" * 64,
        adapter_sha256="",
        beta=0.1,
        weight=1.0,
        pairs_sha256="p" * 64,
        data_md5="d" * 32,
        git_commit="c" * 40,
    )
    write_card(arm, card)
    return arm


def work(clone: Path, address: str, orders: Any) -> None:
    """Carry out the changes that come through a connection; answer each with what came of it."""
    _prepare(clone, address)
    while True:
        try:
            change = orders.recv()
        except EOFError:
            return
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # MLflow announces each run
                answer = _carry_out(registry.connect(clone), change)
        except (StaleDecision, Busy) as error:
            answer = type(error).__name__
        except RegistryError as error:
            refused = change.verb == "rollback" and any(text in str(error) for text in REFUSALS)
            answer = f"refused: {error}" if refused else f"crashed: {error}"
        except Exception:
            answer = f"crashed: {traceback.format_exc()}"
        orders.send(answer)


def _carry_out(store: Registry, change: Change) -> Any:
    if change.verb == "register":
        return store.register(DIMENSION, Path(change.what), metrics={"accuracy": 0.5})
    if change.verb == "trail":
        return trail(store)
    if change.verb == "rollback":
        return f"done {store.rollback(DIMENSION, change.actor, actor=change.actor)}"
    decision = store.manual_decision(DIMENSION, int(change.what), change.actor)
    if decision.champion and decision.champion.adapter_sha256 == decision.challenger_sha256:
        return "already"
    said: list[str] = []
    number = store.promote(
        DIMENSION,
        decision,
        smoke_test=lambda folder: None,
        actor=change.actor,
        force=change.actor,
        say=said.append,
    )
    return "already" if any("was promoted before" in line for line in said) else f"done {number}"


def trail(store: Registry) -> dict[str, Any]:
    """What the registry holds after recovery: the changes that were carried out, and the champion."""
    store.reconcile([DIMENSION])
    client = store.client
    experiment = client.get_experiment_by_name(tags.DECISIONS_EXPERIMENT)
    runs, token = [], None
    while experiment:
        page = client.search_runs([experiment.experiment_id], order_by=["start_time"], page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            break
    carried_out = []
    for run in runs:
        known = run.data.tags
        to = known.get(tags.PROMOTED_VERSION) or known.get(tags.ROLLED_BACK_TO)
        if to is not None:
            carried_out.append((known[tags.ACTOR], int(known[tags.CHAMPION_VERSION]), int(to)))
    rows = [row for row in store.list([DIMENSION]) if "champion" in row["aliases"]]
    done = [row["version"] for row in rows if row["promotion"] == "done" and not row["blocked"]]
    return {"carried_out": carried_out, "champion": done[0] if done else 0, "champions": len(done)}


def promote_at(clone: Path, address: str, version: int, barrier: Any, results: Any) -> None:
    """Decide for a version, wait for the other clone to do so too, and promote it."""
    _prepare(clone, address)
    store = registry.connect(clone)
    decision = store.manual_decision(DIMENSION, version, "race")
    barrier.wait(120)
    try:
        number = store.promote(
            DIMENSION, decision, smoke_test=lambda folder: time.sleep(0.3), actor="race", force="race"
        )
        results.put(f"done {number}")
    except StaleDecision:
        results.put("stale")
    except Exception as error:
        results.put(f"other {error}")


def _prepare(clone: Path, address: str) -> None:
    clone.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = address
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
