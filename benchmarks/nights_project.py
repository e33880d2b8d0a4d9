"""A project that lives through nights: real git, DVC and MLflow, a site as source, numbers as models."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dvc_project import git
from etag_server import Site, site
from house_toys import DIMENSION, arm, new_project
from nights_plan import DATA, Happened, Night
from registry_toys import Killed, dying
from toys import byte_tokenizer
from verdict_rows import response

from genarm import registry
from genarm.config import PublishConfig
from genarm.data.dvc import data_version
from genarm.errors import GenarmError, Unreachable
from genarm.intake import held
from genarm.intake.take_in import take_in
from genarm.models.arm import adapter_hash
from genarm.pipeline.incumbents import note_incumbents
from genarm.pipeline.project import Project
from genarm.pipeline.publish.steps import Publication, publish
from genarm.pipeline.stages.decide import decide
from genarm.registry import Registry
from genarm.system.files import write_json, write_rows
from genarm.types import Champion, Comparison, Decision, Estimate, Message, Prompt, Tuned, Verdict
from genarm.watch.nightly import watch

PROMPTS = [Prompt((Message("user", f"say {i}"),)) for i in range(200)]
ASKED, MEASURED = 60, 20  # prompts of a decision, and of a night
NOBODY = "http://127.0.0.1:9"
PUSH = PublishConfig(git="commit", push=True)
REFUSES = "#!/bin/sh\necho 'no pushes tonight' >&2\nexit 1\n"


def rows(data: str) -> bytes:
    """A data version as a file; none for no name."""
    if not data:
        return b""
    count, flipped, _ = DATA[data]
    sides = [("no", "yes") if flipped and i < 10 else ("yes", "no") for i in range(count)]
    made = [{"prompt": f"say {i}", "chosen": c, "rejected": r} for i, (c, r) in enumerate(sides)]
    return "".join(json.dumps(row) + "\n" for row in made).encode()


def wins(strength: float, other: float, of: int) -> int:
    """How many prompts an ARM wins over another one."""
    return round(of / (1 + math.exp(other - strength)))


class NightlyProject:
    """One dimension, whose data comes from a site; `strengths` are those of the ARMs, by hash."""

    def __init__(self, project: Project, web: Site, bare: Path) -> None:
        self.project, self.web, self.bare = project, web, bare
        self.trained_on = ""
        self.strengths: dict[str, float] = {}
        self.names: dict[str | None, str] = {}  # of data versions

    @classmethod
    @contextmanager
    def made(cls, folder: Path) -> Iterator["NightlyProject"]:
        """A project without data in an empty folder, its git remote beside it; the environment is its own."""
        before = dict(os.environ)
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            os.environ.pop(name, None)
        root, bare = folder / "project", folder / "remote.git"
        root.mkdir()
        git(folder, "init", "--quiet", "--bare", "-b", "main", str(bare))
        project = new_project(root)
        git(root, "checkout", "--quiet", "-B", "main")
        try:
            with site() as web:
                source = {"files": "a.jsonl", "from": f"{web.address}/a.jsonl"}
                kind = {"data": source, "judge": "length", "weight": 1}
                watching = {"prompts": MEASURED, "nights": 3, "rollback": True}
                params = {"base": {"model": "toy"}, "dimensions": {DIMENSION: kind}, "watch": watching}
                write_json(root / "params.yaml", params | {"respond": {"prompts": ASKED}})
                git(root, "add", "--all")
                git(root, "commit", "--quiet", "-m", "start")
                git(root, "remote", "add", "origin", str(bare))
                git(root, "push", "--quiet", "-u", "origin", "main")
                write_rows(project.layout.prompts, PROMPTS)
                yield cls(Project(root), web, bare)
        finally:
            os.environ.clear()
            os.environ.update(before)

    @property
    def store(self) -> Registry:
        """The registry, opened anew as every run opens it."""
        return registry.connect(self.project.root)

    def live(self, night: Night) -> Happened:
        """One night, in the order of the flow `refresh`; a person may have answered the day before."""
        self.web.files["a.jsonl"] = rows(night.source) if isinstance(night.source, str) else night.source
        self._hook(night.remote)
        if night.answer == "reject":
            held.refuse(self.project.root, "by a person")
        approved = night.answer == "approve" and held.take(self.project.root)
        try:
            news = take_in(self.project.root, self.project.params, byte_tokenizer)
        except GenarmError:  # the flow fails, and the data stays as it was
            return Happened("failed", "-", "-", self._in_use(), "-")
        came = "held" if news.held else str(night.source) if news.version or approved else "same"
        if came in DATA:
            self.names[data_version(self.project.root)] = came
        with self._mlflow(night.mlflow):
            measured = self._measured(night)
            decision, published = self._align(night)
        return Happened(came, measured, decision, self._in_use(), published)

    def _measured(self, night: Night) -> str:
        day = night.clock if night.clock.count("-") == 2 else f"2027-{night.clock}"

        def compared(
            project: Project, dimension: str, champion: Champion, prompts: list[Prompt], number: int
        ) -> Comparison:
            usual = wins(self.strengths[champion.adapter_sha256], 0, MEASURED)
            won = usual if night.wins is None else night.wins
            rate = Estimate(won / MEASURED, (0.0, 1.0), MEASURED)
            return Comparison(dimension, "champion", "base", rate, won, 0, MEASURED - won, 0, 1.0)

        try:
            done = watch(self.project, day=day, measured=compared)
        except Unreachable:  # told, and no reason not to go on
            return "away"
        if not done:
            return "-"
        [one] = done
        if not one.measured_now:
            return "earlier today"
        won = round(one.night.win_rate.value * MEASURED)
        back = f", worse: {self._in_use()} is back" if one.rolled_back else ""
        return f"v{one.night.version} {won}/{MEASURED}{back}"

    def _align(self, night: Night) -> tuple[str, str]:
        """What the flow `align` does once the stages have run: register, decide, carry out, publish."""
        project, layout, dimensions = self.project, self.project.layout, [DIMENSION]
        try:
            store = self.store
            store.reconcile(dimensions)
            champion = store.snapshot(layout.champions, dimensions)[DIMENSION]
        except Unreachable:
            return "away", "-"
        self._train()
        in_use = project.is_in_use(DIMENSION, champion)
        weight = champion.weight if champion and in_use else 1.0
        number = store.register(DIMENSION, layout.arm(DIMENSION), weight=weight, metrics={})
        if in_use:
            return "same", self._publish(None)
        note_incumbents(project)
        self._judge(champion)
        [decision] = decide(project)
        why = store.blocked(DIMENSION, decision.challenger_sha256)
        if decision.outcome == "promote" and why:
            decision = replace(decision, outcome="reject", reasons=[why, *decision.reasons])
        store.record_decision(decision, actor="nights")
        if decision.outcome == "promote":
            acting = dying(store, 2) if night.killed else store
            try:
                acting.promote(DIMENSION, decision, smoke_test=lambda place: None, actor="nights")
            except Killed:
                return "killed", "-"
        store.snapshot(layout.champions, dimensions)
        return f"v{number} {decision.outcome}", self._publish(decision)

    def _train(self) -> None:
        """An ARM of the data in use, whose weights are the data's name."""
        name, place = self.names[data_version(self.project.root)], self.project.layout.arm(DIMENSION)
        if name != self.trained_on:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(arm(self.project, name), place)
            self.strengths[adapter_hash(place)] = DATA[name][2]
            self.trained_on = name

    def _judge(self, champion: Champion | None) -> None:
        """The files that the stages before `decide` write: equal texts, and verdicts by strength."""
        layout = self.project.layout
        write_json(layout.tuned(DIMENSION), Tuned(1.0, "sum", "params.yaml", "said there"))
        asked = [prompt.id for prompt in PROMPTS[:ASKED]]
        for side in ("base", "challenger", "champion"):
            answered = asked if side != "champion" or champion else []
            file = layout.responses(side, None if side == "base" else DIMENSION)  # type: ignore[arg-type]
            write_rows(file, [response(prompt) for prompt in answered])
        strength = self.strengths[adapter_hash(layout.arm(DIMENSION))]
        rivals = [
            ("base", 0.0),
            *([("champion", self.strengths[champion.adapter_sha256])] if champion else []),
        ]
        write_rows(
            layout.verdicts(DIMENSION),
            [
                Verdict(
                    prompt, DIMENSION, "challenger", side, 1.0 if i < wins(strength, other, ASKED) else -1.0
                )  # type: ignore[arg-type]
                for side, other in rivals
                for i, prompt in enumerate(asked)
            ],
        )

    def _publish(self, decision: Decision | None) -> str:
        made = publish(Publication(self.project, PUSH, [decision] if decision else []))
        if made.left:
            return "refused"
        return "pushed" if any("pushed to" in line for line in made.done) else "-"

    def _in_use(self) -> str:
        champion = self.store.champions([DIMENSION])[DIMENSION]
        return f"v{champion.version}" if champion else "base"

    def _hook(self, takes: bool) -> None:
        hook = self.bare / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\nexit 0\n" if takes else REFUSES)
        hook.chmod(0o755)

    @contextmanager
    def _mlflow(self, answers: bool) -> Iterator[None]:
        """The registry as it is, or an address where nobody answers."""
        if not answers:
            os.environ["MLFLOW_TRACKING_URI"] = NOBODY
        try:
            yield
        finally:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
