"""Servers that are killed, hang, and come back: told within ten seconds, and the next run makes good.

Commands of the registry first: the server dies or hangs at the moment of one of their writes. Then whole
runs, whose MLflow or Prefect server is away from the start, or goes away on the way.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path

from faults_campaign import Campaign
from faults_child import Death
from faults_counts import Counts
from faults_project import RUN_SECONDS, Ended, copy_project, finish, genarm, kill_tree, start
from faults_reference import outcome
from faults_servers_real import MlflowServer, PrefectServer, Server
from faults_state import compare
from faults_store import Store

TOLD = 10.0  # seconds from the first request without an answer to an error
STARTING = 6.0  # and those that a command needs to start, on a machine that does other things
WORDS = re.compile(
    r"^error: |no (MLflow|Prefect) server|not answer|not reachable|is away|retry",
    re.IGNORECASE | re.MULTILINE,
)
TIMES, QUICK_COMMANDS, QUICK_RUNS = 2, 1, 2  # faults of each kind and command; of a quick campaign in all
FAULTS: dict[str, tuple[Callable[[Server], None], Callable[[Server], None]]] = {
    "killed": (Server.kill, Server.start),
    "hung": (Server.hang, Server.wake),
}


def servers(campaign: Campaign) -> Counts:
    """Commands, then runs; in a quick campaign runs only against servers that are away from the start."""
    counts = Counts()
    _commands(campaign, counts)
    cases = [(kind, fault) for kind in ("mlflow", "prefect") for fault in FAULTS]
    for kind, fault in campaign.random.sample(cases, QUICK_RUNS) if campaign.quick else cases:
        _before(campaign, counts, kind, fault)
        if not campaign.quick:
            _on_the_way(campaign, counts, kind, fault, comes_back=False)
            if fault == "killed":
                _on_the_way(campaign, counts, kind, fault, comes_back=True)
    return counts


def _commands(campaign: Campaign, counts: Counts) -> None:
    """Each command with the server gone at one of its writes, then again with the server there."""
    times = 1 if campaign.quick else TIMES
    names = ("register", "promote", "rollback")
    cases = [(name, fault) for _ in range(times) for name in names for fault in FAULTS]
    cases = campaign.random.sample(cases, QUICK_COMMANDS) if campaign.quick else cases
    server = MlflowServer(campaign.folder / "mlflow server")
    store = Store(campaign.folder / "on a server", campaign.arms(len(cases)), server.settings())
    server.start()
    try:
        for number, (name, fault) in enumerate(cases):
            _command(campaign, counts, store, server, number, name, fault)
            campaign.advance(f"{name}, server {fault}: {number + 1} of {len(cases)}")
    finally:
        server.kill()


def _command(
    campaign: Campaign, counts: Counts, store: Store, server: Server, n: int, name: str, fault: str
) -> None:
    """The n-th ARM is registered, promoted and taken back; one of the three meets the fault."""
    work = {
        "register": lambda: store.register(n),
        "promote": lambda: store.promote_over_base(n),
        "rollback": lambda: store.rollback(0),
    }
    expected = store.must(store.facts)
    for step, do in work.items():
        sha256 = store.must(lambda: store.sha256(n))[:12]
        if step == "register":
            expected["versions"].append(sha256)
            expected["trainings"].append(f"{sha256} FINISHED")
        else:
            expected["trail"].append(f"{step} FINISHED")
        if step == "rollback":
            expected["blocked"].append(f"version {n + 1}: too long")
        if step == name:
            _with_fault(campaign, counts, store, server, do, fault, f"{name}, MLflow server {fault}")
        else:
            store.must(do)
    lists = {key: value for key, value in expected.items() if isinstance(value, list)}
    compare(counts, lists, store.must(store.facts), f"{name}, MLflow server {fault}")


def _with_fault(
    campaign: Campaign,
    counts: Counts,
    store: Store,
    server: Server,
    do: Callable[[], object],
    fault: str,
    what: str,
) -> None:
    """Do it with the server gone before one of its first writes, then with the server back."""
    n, when = campaign.random.randrange(5), store.root / "when"
    strike, mend = FAULTS[fault]

    def gone() -> None:
        when.write_text(repr(time.monotonic()))
        strike(server)

    counts.tried += 1
    did = store.child(do, die=Death(n, instead=gone))
    ended = time.monotonic()
    what = f"{what} before write {n}"
    if when.is_file():
        waited = ended - float(when.read_text())
        when.unlink()
        if not campaign.failed(counts, did, what) and waited > TOLD and did.kind:
            counts.note("hung", f"{what}: told after {waited:.0f} s: {did.error[:150]}")
        if fault == "killed":
            server.kill()  # the child has done it: this reaps it
        mend(server)
    again = store.child(do)
    campaign.failed(counts, again, f"{what}; typed again with the server back")


def _made(campaign: Campaign, kind: str, name: str) -> tuple[Path, Server, dict[str, str]]:
    """A project, the server that will fail, and the settings that name it and the other one."""
    project = copy_project(campaign.project, campaign.folder / name)
    if kind == "prefect":
        server: Server = PrefectServer(campaign.folder / f"{name} server")
        return project, server, server.settings()
    server = MlflowServer(campaign.folder / f"{name} server")
    return project, server, campaign.prefect.settings() | server.settings()


def _before(campaign: Campaign, counts: Counts, kind: str, fault: str) -> None:
    """A run whose server is away when it starts."""
    what = f"{kind} server {fault} before a run"
    project, server, settings = _made(campaign, kind, f"{kind} {fault} before")
    counts.tried += 1
    try:
        if fault == "hung":
            server.start()
            server.hang()
        log = project.parent / f"{project.name}.log"
        began = time.monotonic()
        run = start(project, "run", more=settings, log=log)
        told = _told(log, 0, began + TOLD + STARTING)
        if told and campaign.quick:  # the rest of it is waiting for the server to come back
            kill_tree(run.pid)
            run.wait()
            return
        ended = finish(run, log, RUN_SECONDS, began)
        _count(campaign, counts, ended, told, what)
        if ended.code == 0:
            counts.note("silent", f"{what}: the run says that all is well")
    finally:
        server.kill()
    campaign.advance(what)


def _on_the_way(campaign: Campaign, counts: Counts, kind: str, fault: str, *, comes_back: bool) -> None:
    """A run whose server goes away when training has ended, then a run with the server there."""
    what = f"{kind} server {fault} during a run{' and back' if comes_back else ''}"
    project, server, settings = _made(campaign, kind, what.replace(" server", ""))
    strike, mend = FAULTS[fault]
    counts.tried += 1
    try:
        server.start()
        log = project.parent / f"{project.name}.log"
        began = time.monotonic()
        run = start(project, "run", more=settings, log=log)
        while run.poll() is None and "train vowels" not in log.read_text(errors="replace"):
            time.sleep(0.02)
        strike(server)
        struck, seen = time.monotonic(), log.stat().st_size
        told = _told(log, seen, struck + TOLD + STARTING)
        if comes_back:
            mend(server)
        ended = finish(run, log, RUN_SECONDS, began)
        _count(campaign, counts, ended, told, what)
        if not comes_back:
            mend(server)
        again = genarm(project, "run", seconds=RUN_SECONDS, more=settings)
        if campaign.failed(counts, again, f"{what}; the next run"):
            return
        if again.code:
            counts.note("lost", f"{what}; the next run: {again.output.strip().splitlines()[-2:]}")
            return
        uri = settings if kind == "mlflow" else None
        compare(counts, campaign.reference.outcome, outcome(project, uri), what)
    finally:
        server.kill()
    campaign.advance(what)


def _told(log: Path, seen: int, until: float) -> float | None:
    """When a word about the fault was said, after so many bytes of the log."""
    while time.monotonic() < until:
        if WORDS.search(log.read_bytes()[seen:].decode(errors="replace")):
            return time.monotonic()
        time.sleep(0.05)
    return None


def _count(campaign: Campaign, counts: Counts, ended: Ended, told: float | None, what: str) -> None:
    """A run that failed must have said so in time, and how to go on."""
    if not campaign.failed(counts, ended, what) and ended.code and told is None:
        counts.note(
            "hung", f"{what}: no word within {TOLD + STARTING:.0f} s; it ended after {ended.seconds:.0f} s"
        )
