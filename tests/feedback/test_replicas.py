"""Several servers write to one store at once: nothing is lost, and no vote counts twice."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from feedback_toys import compared
from whole_postgres import PASSWORD, whole_postgres

from genarm.config import FeedbackConfig
from genarm.feedback.store import Answered, Store

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

# Opens the store while others do, asks and votes on its own comparisons, and tries to vote on those of all.
REPLICA = """
import sys
from pathlib import Path
from feedback_toys import compared
from genarm.config import FeedbackConfig
from genarm.feedback.store import Answered, Store

name, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store(FeedbackConfig(store=address), Path("."), clock=lambda: 1_700_000_060.0)
for i in range(count):
    store.ask(compared(f"{name}-{i}", user=f"u{i % 3}"))
    store.vote(f"{name}-{i}", "anybody", f"u{i % 3}", "a", name)
won = 0
for i in range(count):
    try:
        store.vote(f"shared-{i}", "anybody", "u", "b", name)
        won += 1
    except Answered:
        pass
print(won)
"""


def raced(store: Store, address: str, folder, count: int = 40, replicas: int = 3) -> None:
    for i in range(count):
        store.ask(compared(f"shared-{i}"))
    command = [sys.executable, "-c", REPLICA]
    started = [
        subprocess.Popen(
            [*command, f"r{n}", address, str(count)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(replicas)
    ]
    won = [int(process.communicate(timeout=300)[0]) for process in started]
    assert [process.returncode for process in started] == [0] * replicas
    assert sum(won) == count
    found = list(store.votes("kind"))
    assert len({vote.comparison.id for vote in found}) == len(found) == count * (replicas + 1)
    assert [vote.seq for vote in found] == sorted(vote.seq for vote in found)
    by = Counter(vote.reason for vote in found if vote.comparison.id.startswith("shared"))
    assert sorted(by.values()) == sorted(n for n in won if n)
    assert store.mark("kind")[0] == len(found)


def test_processes_share_a_file(tmp_path):
    store = Store(FeedbackConfig(store="f.db"), tmp_path, clock=lambda: 1_700_000_060.0)
    raced(store, "f.db", tmp_path)
    store.close()


def test_processes_share_a_postgresql(tmp_path, monkeypatch):
    """Its login comes from the environment; erasure and every error are those of a file."""
    with whole_postgres() as socket:
        monkeypatch.setenv("PGUSER", "postgres")
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        monkeypatch.setenv("VOTES", f"postgresql:///postgres?host={socket}")
        config = FeedbackConfig(store="env://VOTES")
        store = Store(config, tmp_path, clock=lambda: 1_700_000_060.0)
        assert PASSWORD not in store.database.address.shown
        raced(store, "env://VOTES", tmp_path)
        before = store.mark("kind")
        kept = [vote.seq for vote in store.votes("kind") if vote.comparison.user != store.people.name("u0")]
        count = store.erase("u0")
        assert store.mark("kind") == (before[0] - count, max(kept)) and count == 3 * 14
        assert list(store.votes("kind", trial="0123456789abcdef")) == []
        store.ask(compared("new", consent=False))
        store.vote("new", "anybody", "u", "tie", "Ünïcode ✓")
        with pytest.raises(Answered):
            store.vote("new", "anybody", "u", "a", "")
        *_, last = store.votes()
        assert (last.reason, last.comparison.prompt) == ("Ünïcode ✓", []) and last.seq > before[1]
        store.close()
