"""The registry on real MLflow: SQLite and files in a temporary folder, whose name holds a space."""

import dataclasses
import json
import multiprocessing
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genarm import registry
from genarm.errors import AdapterError, Busy, RegistryError, StaleDecision, Unreachable
from genarm.models import arm as arms
from genarm.models import resolve
from genarm.registry import Registry
from genarm.system.files import read_json
from genarm.types import ArmCard, Champion, Decision

DIMENSION = "positive"
METRICS = {"accuracy_after": 0.71, "accuracy_longer": 0.52}
CURVES = [
    {"step": 10, "loss": 0.7, "rewards/margins": 0.1},
    {"step": 20, "loss": 0.6, "rewards/margins": 0.4},
]
BOTH = [DIMENSION, "plain"]
Make = Callable[[int], Path]
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning",  # peft 0.21 asks transformers 5.23 by the old name
)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's schema, which takes seconds to make: every test copies this one."""
    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registry.connect(root)
    return root / "mlflow" / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose store is made and empty."""
    root = tmp_path / "a project"
    (root / "mlflow").mkdir(parents=True)
    shutil.copyfile(empty_store, root / "mlflow" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return root


@pytest.fixture
def store(root: Path) -> Registry:
    return registry.connect(root)


@pytest.fixture(scope="session")
def make_arm(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The ARM number n: a LoRA on the toy base, loud enough that any two answer differently."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    source, made = resolve(str(toy.folder)), {}

    def make(seed: int) -> Path:
        if seed not in made:
            folder = tmp_path_factory.mktemp("arms") / f"arm-{seed}"
            model = get_peft_model(
                AutoModelForCausalLM.from_pretrained(toy.folder),
                LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
            )
            torch.manual_seed(seed)
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    torch.nn.init.normal_(weight, std=0.5)
            model.save_pretrained(folder)
            card = ArmCard(
                dimension=DIMENSION,
                model_id="toy",
                model_revision=None,
                model_weights_sha256=source.weights_sha256,
                guides_id="toy",
                guides_revision=None,
                tokenizer_sha256=source.tokenizer_sha256,
                adapter_sha256="",
                beta=0.1,
                weight=1.5,
                pairs_sha256="p" * 64,
                data_md5="d" * 32,
                git_commit="c" * 40,
                params={"learning_rate": 5e-4, "lora": {"rank": 2}},
            )
            arms.write_card(folder, card)
            made[seed] = folder
        return made[seed]

    return make


def register(store: Registry, folder: Path) -> int:
    lineage = {"flow run": "f-1", "git dirty": "false"}
    return store.register(DIMENSION, folder, metrics=METRICS, curves=CURVES, lineage=lineage)


def decision(store: Registry, folder: Path, outcome: Any = "promote") -> Decision:
    champion = store.champions([DIMENSION])[DIMENSION]
    return Decision(DIMENSION, outcome, ["win rate 0.71"], arms.adapter_hash(folder), champion)


def promote(store: Registry, folder: Path, **changes: Any) -> int:
    given = {"smoke_test": lambda place: None, "actor": "test", "report_sha256": "r" * 64} | changes
    return store.promote(DIMENSION, given.pop("decision", None) or decision(store, folder), **given)


def state(store: Registry) -> dict[str, dict[int, dict[str, str]] | dict[str, int]]:
    """Aliases, and what a change left on the versions; times left out."""
    rows = store.list([DIMENSION])
    return {
        "aliases": {alias: row["version"] for row in rows for alias in row["aliases"]},
        "marks": {row["version"]: {k: row[k] for k in ("promotion", "blocked")} for row in rows},
    }


def test_an_adapter_is_registered_once(store: Registry, make_arm: Make) -> None:
    assert [register(store, make_arm(n)) for n in (0, 1, 0, 1)] == [1, 2, 1, 2]
    assert state(store)["aliases"] == {"challenger": 2}
    register(store, make_arm(0))
    assert state(store)["aliases"] == {"challenger": 1}, "the adapter on trial is the one registered last"
    experiment = store.client.get_experiment_by_name("genarm/train").experiment_id
    assert len(store.client.search_runs([experiment])) == 2


def test_a_version_leads_back_to_where_it_came_from(store: Registry, make_arm: Make) -> None:
    folder = make_arm(0)
    register(store, folder)
    shown = store.show(DIMENSION, "challenger")
    card = arms.read_card(folder)
    expected = {
        "adapter_sha256": card.adapter_sha256,
        "base_weights_sha256": card.model_weights_sha256,
        "tokenizer_sha256": card.tokenizer_sha256,
        "data_md5": "d" * 32,
        "git_commit": "c" * 40,
        "flow_run": "f-1",
        "git_dirty": "false",
        "dvc_stage": "train@positive",
        "beta": "0.1",
        "weight": "1.5",
    }
    assert {f"genarm.{k}": v for k, v in expected.items()}.items() <= shown["tags"].items()
    assert shown["params"]["lora.rank"] == "2"
    assert METRICS.items() <= shown["metrics"].items()
    run = store.client.get_run(shown["run_id"])
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 32
    assert run.info.status == "FINISHED"
    curve = store.client.get_metric_history(shown["run_id"], "rewards/margins")
    assert [(point.step, point.value) for point in curve] == [(10, 0.1), (20, 0.4)]
    model = store.client.get_logged_model(shown["model_id"])
    assert {metric.key for metric in model.metrics} == set(METRICS)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "genarm-positive", "version": 1}]
    assert not list(Path(shown["files"]).rglob("*.pkl"))


def test_the_page_of_a_version_is_readable(store: Registry, make_arm: Make) -> None:
    register(store, make_arm(0))
    page = store.client.get_model_version("genarm-positive", "1").description
    assert "ARM for **positive**" in page and "- accuracy_after: 0.71" in page and f"`{'d' * 32}`" in page
    assert "genarm-positive@champion" in store.client.get_registered_model("genarm-positive").description


class Killed(BaseException):
    """Stands for SIGKILL: no handler of errors sees it."""


class Dying:
    """A client whose n-th write is the last thing that does not happen; and every write after it."""

    WRITES = (
        "create_run", "log_batch", "log_inputs", "log_outputs", "log_text", "log_artifacts", "set_tag",
        "set_terminated",
        "create_logged_model", "finalize_logged_model", "log_model_artifacts", "set_logged_model_tags",
        "create_registered_model", "create_model_version", "set_model_version_tag",
        "delete_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias",
    )  # fmt: skip

    def __init__(self, client: Any, last: int) -> None:
        self.client, self.left = client, last

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if name not in self.WRITES:
            return call

        def write(*args: Any, **kwargs: Any) -> Any:
            if self.left <= 0:
                raise Killed(name)
            self.left -= 1
            return call(*args, **kwargs)

        return write


def dying(store: Registry, last: int) -> Registry:
    return dataclasses.replace(store, client=Dying(store.client, last))  # type: ignore[arg-type]


def kill_at_every_write(store: Registry, action: Callable[[Registry], Any]) -> Iterator[int]:
    """Run `action`, killed at its first write, its second, ... until it gets through; yields after each."""
    for last in range(200):
        try:
            action(dying(store, last))
        except Killed:
            yield last
        else:
            assert last > 3, "the action writes less than it should, or the deaths were not felt"
            return


def test_a_registration_killed_anywhere_leads_to_one_version(store: Registry, make_arm: Make) -> None:
    deaths = list(kill_at_every_write(store, lambda dying: register(dying, make_arm(0))))
    assert len(deaths) > 10
    assert [row["version"] for row in store.list([DIMENSION])] == [1]
    assert state(store)["aliases"] == {"challenger": 1}
    experiment = store.client.get_experiment_by_name("genarm/train").experiment_id
    assert [run.info.status for run in store.client.search_runs([experiment])] == ["FINISHED"]
    assert len(store.client.search_logged_models([experiment])) == 1


def test_promotion_moves_the_champion_and_remembers_the_one_before(
    store: Registry, make_arm: Make, tmp_path: Path
) -> None:
    seen = []
    for n in (0, 1):
        register(store, make_arm(n))
        promote(
            store, make_arm(n), smoke_test=lambda folder: seen.append(arms.read_card(folder).adapter_sha256)
        )
    assert state(store) == {
        "aliases": {"champion": 2, "previous": 1},
        "marks": {n: {"promotion": "done", "blocked": ""} for n in (1, 2)},
    }
    assert seen == [arms.adapter_hash(make_arm(n)) for n in (0, 1)], "the smoke test gets what was promoted"
    tags = store.show(DIMENSION)["tags"]
    assert tags["genarm.promoted_by"] == "test" and tags["genarm.report_sha256"] == "r" * 64
    run = store.client.get_run(tags["genarm.decision_run"])
    assert run.data.tags["genarm.promoted_version"] == "2"

    snapshot = tmp_path / "champions.json"
    assert len(store.drift(snapshot, BOTH)) == 1
    store.snapshot(snapshot, BOTH)
    champion = Champion(2, store.show(DIMENSION)["model_id"], arms.adapter_hash(make_arm(1)), 1.5)
    assert read_json(snapshot, dict[str, Champion | None]) == {DIMENSION: champion, "plain": None}
    before = snapshot.stat().st_mtime_ns
    store.snapshot(snapshot, BOTH)
    assert snapshot.stat().st_mtime_ns == before, "DVC and git must not see a change where there is none"
    assert store.drift(snapshot, BOTH) == []

    again = promote(
        store, make_arm(1), smoke_test=lambda folder: pytest.fail("the champion was promoted again")
    )
    assert again == 2
    register(store, make_arm(1))
    assert "challenger" not in state(store)["aliases"], "the champion is not on trial"


def test_a_decision_against_another_champion_is_stale(store: Registry, make_arm: Make) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
    promote(store, make_arm(0))
    slow = decision(store, make_arm(1))
    promote(store, make_arm(2))  # a second promoter was faster
    with pytest.raises(StaleDecision, match=r"against version 1 .* champion is version 3"):
        promote(store, make_arm(1), decision=slow)
    assert state(store)["aliases"] == {"champion": 3, "previous": 1}


def promote_in_a_process(root: str, verdict: Decision, results: Any) -> None:
    try:
        opened = registry.connect(Path(root))
        results.put(
            opened.promote(DIMENSION, verdict, smoke_test=lambda place: time.sleep(0.5), actor="race")
        )
    except StaleDecision:
        results.put("stale")


@pytest.mark.slow
def test_of_two_promoters_at_a_time_one_is_stale(root: Path, store: Registry, make_arm: Make) -> None:
    verdicts = []
    for n in (0, 1):
        register(store, make_arm(n))
        verdicts.append(decision(store, make_arm(n)))
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    both = [spawn.Process(target=promote_in_a_process, args=(str(root), v, results)) for v in verdicts]
    for process in both:
        process.start()
    for process in both:
        process.join()
    got = [results.get(), results.get()]
    assert got.count("stale") == 1
    champion = next(number for number in got if number != "stale")
    assert state(store)["aliases"]["champion"] == champion


def test_promotion_is_refused_where_nobody_decided_it(store: Registry, make_arm: Make) -> None:
    with pytest.raises(RegistryError, match="no version of genarm-positive with adapter"):
        promote(store, make_arm(0))
    register(store, make_arm(0))
    held = decision(store, make_arm(0), "hold")
    with pytest.raises(RegistryError, match=r"is 'hold', not 'promote': win rate 0\.71"):
        promote(store, make_arm(0), decision=held)
    assert promote(store, make_arm(0), decision=held, force="the demo is today") == 1


def test_a_failed_smoke_test_leaves_everything_as_it_was(store: Registry, make_arm: Make) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
        if n < 2:
            promote(store, make_arm(n))
    before = state(store)["aliases"]

    def fail(folder: Path) -> None:
        raise OSError("says nothing")

    with pytest.raises(RegistryError, match=r"version 3 .* smoke test .* says nothing; hint: version 2"):
        promote(store, make_arm(2), smoke_test=fail)
    assert state(store)["aliases"] == before == {"champion": 2, "previous": 1, "challenger": 3}
    assert state(store)["marks"][3]["promotion"] == "failed: says nothing"
    assert promote(store, make_arm(2)) == 3, "a failure that has passed is no obstacle"


@pytest.mark.parametrize("others", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_promotion_killed_anywhere_is_repaired(store: Registry, make_arm: Make, others: int) -> None:
    """After each death, reconcile leaves the new champion where it was done with, else the old one."""
    for n in range(others):
        register(store, make_arm(n))
        promote(store, make_arm(n))
    register(store, make_arm(9))
    verdict, before, new = decision(store, make_arm(9)), state(store)["aliases"], others + 1
    finished = 0
    for _ in kill_at_every_write(store, lambda dying: promote(dying, make_arm(9), decision=verdict)):
        store.reconcile(BOTH)
        after, mark = state(store)["aliases"], state(store)["marks"][new]["promotion"]
        if mark == "done":
            finished += 1
            assert after["champion"] == new and "challenger" not in after
        else:
            assert after == before
            assert mark in ("", "reverted: interrupted before the smoke test")
        assert store.reconcile(BOTH) == []
    assert finished <= 3, "only what follows the mark `done` may be missing"
    assert promote(store, make_arm(9), decision=verdict) == new
    assert state(store)["aliases"] == {"champion": new} | ({"previous": 2} if others else {})


@pytest.mark.parametrize("to", [None, pytest.param(0, marks=pytest.mark.slow)])
def test_a_rollback_killed_anywhere_is_completed(store: Registry, make_arm: Make, to: int | None) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
        promote(store, make_arm(n))
    rolled = {"champion": 2, "previous": 1} if to is None else {}
    actions = kill_at_every_write(
        store, lambda dying: dying.rollback(DIMENSION, "too long", to=to, actor="me")
    )
    first = next(actions)
    assert first == 0 and store.reconcile(BOTH) == [] and state(store)["aliases"]["champion"] == 3
    next(actions)  # the intent is written, nothing else
    store.reconcile(BOTH)
    assert state(store)["aliases"] == rolled
    assert state(store)["marks"][3] == {"promotion": "rolled back: too long", "blocked": "too long"}
    trail = store.client.get_experiment_by_name("genarm/decisions").experiment_id
    found = store.client.search_runs([trail], "tags.`genarm.outcome` = 'rollback'")
    assert len(found) == 1 and found[0].info.status == "FINISHED"


@pytest.mark.slow
def test_each_death_of_a_rollback_leads_to_the_same_end(store: Registry, make_arm: Make) -> None:
    for n in (0, 1):
        register(store, make_arm(n))
        promote(store, make_arm(n))
    for last in range(2, 30):
        try:
            dying(store, last).rollback(DIMENSION, f"reason {last}")
        except Killed:
            store.reconcile([DIMENSION])
            assert state(store)["aliases"] == {"champion": 1}
            assert store.reconcile([DIMENSION]) == []
            promote(store, make_arm(1), force="tried again")
            assert state(store)["aliases"] == {"champion": 2, "previous": 1}
        else:
            break
    assert last > 6 and state(store)["aliases"] == {"champion": 1}


def test_a_rolled_back_version_stays_out(store: Registry, make_arm: Make) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
        promote(store, make_arm(n))
    assert store.rollback(DIMENSION, "answers too long") == 2
    with pytest.raises(RegistryError, match="version 3 .* is blocked: answers too long"):
        promote(store, make_arm(2))
    assert store.rollback(DIMENSION, "worse still") == 1, "each rollback goes one champion further back"
    with pytest.raises(RegistryError, match=r"no champion before version 1; hint: .*--to"):
        store.rollback(DIMENSION, "and again")
    with pytest.raises(RegistryError, match="version 3 .* is blocked"):
        store.rollback(DIMENSION, "forward?", to=3)
    by_hand = store.manual_decision(DIMENSION, 3, "length is fixed elsewhere")
    assert "is blocked: answers too long" in store.blocked(DIMENSION, by_hand.challenger_sha256)
    promote(store, make_arm(2), decision=by_hand, force="length is fixed elsewhere")
    assert store.blocked(DIMENSION, by_hand.challenger_sha256) == ""
    assert state(store)["aliases"] == {"champion": 3, "previous": 1}
    assert state(store)["marks"][3] == {"promotion": "done", "blocked": ""}
    with pytest.raises(RegistryError, match="needs a reason"):
        store.rollback(DIMENSION, " ")


def test_an_alias_without_its_version_is_repaired(root: Path, store: Registry, make_arm: Make) -> None:
    for n in (0, 1):
        register(store, make_arm(n))
        promote(store, make_arm(n))
    with sqlite3.connect(root / "mlflow" / "mlflow.db") as database:  # MLflow itself takes the alias along
        database.execute("UPDATE registered_model_aliases SET version = 7 WHERE alias = 'champion'")
    assert store.champions([DIMENSION]) == {DIMENSION: None}
    assert store.reconcile([DIMENSION]) == [
        "positive: alias champion pointed to version 7, which is gone; now 1"
    ]
    assert state(store)["aliases"] == {"champion": 1, "previous": 1}


def test_decisions_are_logged_once_whatever_they_say(store: Registry, make_arm: Make, tmp_path: Path) -> None:
    register(store, make_arm(0))
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.html").write_text("<html>")
    held = decision(store, make_arm(0), "hold")
    runs = [
        store.record_decision(d, report_sha256="r" * 64, report=report, lineage={"flow run": "f-1"})
        for d in (held, held, dataclasses.replace(held, outcome="reject"))
    ]
    assert runs[0] == runs[1] != runs[2]
    tags = store.client.get_run(runs[0]).data.tags
    assert (tags["genarm.outcome"], tags["genarm.challenger_version"], tags["genarm.flow_run"]) == (
        "hold",
        "1",
        "f-1",
    )
    kept = [file.path for file in store.client.list_artifacts(runs[0], "report")]
    assert kept == ["report/report.html"], "the next run writes another report over the one in artifacts/"


def test_a_fetched_version_is_a_plain_peft_folder(
    toy: Any, store: Registry, make_arm: Make, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    register(store, make_arm(0))
    promote(store, make_arm(0))
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    into = tmp_path / "champions" / DIMENSION
    assert store.fetch(DIMENSION, champion, into) == into
    ids = torch.tensor([[1, 2, 3]])

    def logits(folder: Path) -> torch.Tensor:
        base = AutoModelForCausalLM.from_pretrained(toy.folder)
        with torch.no_grad():
            return PeftModel.from_pretrained(base, folder)(ids).logits

    assert torch.equal(logits(into), logits(make_arm(0)))
    assert not torch.equal(logits(into), logits(make_arm(1)))

    with (into / arms.WEIGHTS).open("ab") as file:
        file.write(b"x")
    store.fetch(DIMENSION, champion, into)
    assert arms.read_card(into).adapter_sha256 == champion.adapter_sha256, "an altered copy is fetched anew"
    assert not [p for p in into.parent.iterdir() if p != into], "nothing is left beside it"


def test_what_the_store_holds_is_checked(store: Registry, make_arm: Make, tmp_path: Path) -> None:
    register(store, make_arm(0))
    promote(store, make_arm(0))
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    with pytest.raises(RegistryError, match=r"sqlite:.* has no version 7 .* holds: 1; hint: .*TRACKING_URI"):
        store.fetch(DIMENSION, dataclasses.replace(champion, version=7), tmp_path / "x")
    with pytest.raises(AdapterError, match="champions.json says 000000000000"):
        store.fetch(DIMENSION, dataclasses.replace(champion, adapter_sha256="0" * 64), tmp_path / "x")
    stored = Path(store.show(DIMENSION)["files"].removeprefix("file://")) / "artifacts" / "arm"
    with (stored / arms.WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterError, match="altered or cut short"):
        store.fetch(DIMENSION, champion, tmp_path / "x")
    shutil.rmtree(stored)
    with pytest.raises(RegistryError, match="files of version 1 .* are gone"):
        store.fetch(DIMENSION, champion, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    register(store, make_arm(0))  # puts the files back
    store.fetch(DIMENSION, champion, tmp_path / "x")


def test_an_altered_adapter_is_not_registered(store: Registry, make_arm: Make, tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(make_arm(0), folder)
    with (folder / arms.WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterError, match="altered or cut short"):
        register(store, folder)
    with pytest.raises(AdapterError, match="'positive', to be registered as 'plain'"):
        store.register("plain", make_arm(0), metrics={})
    assert store.list(BOTH) == []


def test_the_stored_model_answers_by_itself(
    toy: Any, store: Registry, make_arm: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    register(store, make_arm(0))
    promote(store, make_arm(0))
    monkeypatch.setenv("GENARM_BASE", str(toy.folder))
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model("models:/genarm-positive@champion", model_config={"dtype": "float32"})
    asked = {"prompt": "Hello", "max_new_tokens": 8, "seed": 3}
    rows = [asked, asked | {"weight": 0.0}, asked | {"weight": 1.5}]
    answers = model.predict(pd.DataFrame(rows))
    assert list(answers.columns) == ["response", "tokens", "finish_reason"]
    assert answers["response"][0] == answers["response"][2], "the card's weight is the default"
    assert answers["response"][0] != answers["response"][1], "weight 0 is the base"
    assert model.predict([asked])["response"][0] == answers["response"][0], "alone as in a batch"


def test_a_server_that_is_away_is_told_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/base")
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"at http://127\.0\.0\.1:9/base .*hint: start it") as caught:
        registry.connect(tmp_path)
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value) and caught.value.retryable


def test_a_lock_that_is_held_is_named(store: Registry) -> None:
    with store.lock(), pytest.raises(Busy, match="another process"), store.lock(0.1):
        pass


def test_a_store_that_was_moved_is_not_written_to(
    root: Path,
    store: Registry,
    make_arm: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    register(store, make_arm(0))
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved / 'mlflow' / 'mlflow.db'}")
    with pytest.raises(RegistryError, match=r"moved or copied"):
        register(registry.connect(moved), make_arm(1))


def open_store(root: str, results: Any) -> None:
    results.put(registry.connect(Path(root)).champions([DIMENSION]))


@pytest.mark.slow
def test_four_processes_may_open_a_new_store_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=open_store, args=(str(tmp_path), results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert [results.get() for _ in processes] == [{DIMENSION: None}] * 4


def test_a_model_of_its_own_is_stored_fetched_and_answers_beside_the_base(
    store: Registry, tmp_path: Path, toy: Any
) -> None:
    """All weights trained: no adapter, so a whole folder is stored; `guides_id` names the base to find."""
    import mlflow
    import pandas as pd
    from toy_arms import card
    from toys import toy_model

    folder, source = tmp_path / "arm", resolve(str(toy.folder))
    toy_model(seed=7, layers=2).save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    said = dataclasses.replace(card(source), dimension=DIMENSION, model_id="elsewhere", guides_id=source.id)
    written = arms.write_card(folder, said)
    register(store, folder)
    store.promote(DIMENSION, decision(store, folder), smoke_test=lambda _: None, actor="test")
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    got = store.fetch(DIMENSION, champion, tmp_path / "got")
    assert arms.is_full(got) and arms.read_card(got) == dataclasses.replace(written, weight=champion.weight)
    assert arms.files(got) == arms.files(folder)
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model("models:/genarm-positive@champion", model_config={"dtype": "float32"})
    answer = model.predict(pd.DataFrame([{"prompt": "hello", "weight": 1.0, "max_new_tokens": 4}]))
    assert answer["tokens"].tolist() == [4] or answer["finish_reason"].tolist() == ["stop"]


def test_training_starts_from_the_version_in_use_until_that_one_has_seen_the_data(
    root: Path, store: Registry, make_arm: Make
) -> None:
    """The ARM's card says data `ddd...`: on other data training goes on from it, on these where it began."""
    from genarm.pipeline import warm_start as starts
    from genarm.system.files import write_json, write_text
    from genarm.system.layout import Layout

    params = {
        "base": {"model": "toy"},
        "dimensions": [DIMENSION],
        "pairs": {"sources": {DIMENSION: {"files": "a"}}},
        "train": {"default": {"warm_start": "champion"}, DIMENSION: {}},
        "respond": {"weights": {DIMENSION: 1}},
        "judge": {DIMENSION: {"scorer": "length"}},
    }
    layout = Layout(root)
    write_json(layout.params, params)
    register(store, make_arm(0))
    promote(store, make_arm(0))
    champion = store.snapshot(layout.champions, [DIMENSION])[DIMENSION]
    write_text(root / "data.dvc", "outs: [{md5: new.dir}]\n")
    assert starts.note_starts(root) == [DIMENSION]
    start = starts.fetch_start(root, DIMENSION)
    assert start == (layout.start_arm(DIMENSION), champion)
    assert arms.read_card(start[0]).adapter_sha256 == arms.adapter_hash(make_arm(0))
    assert starts.note_starts(root) == [], "said once"
    write_text(root / "data.dvc", f"outs: [{{md5: {'d' * 32}.dir}}]\n")
    assert starts.note_starts(root) == [DIMENSION]
    assert starts.read_starts(root) == {DIMENSION: None}
