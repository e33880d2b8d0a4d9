"""Thirty nights on a clock, with real git, DVC and MLflow: the record at the end is the one of the rules."""

import sys
from pathlib import Path

import pytest
from dvc_project import git
from house_toys import DIMENSION

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from nights import markdown, simulate  # noqa: E402
from nights_plan import DATA, PLAN, Happened  # noqa: E402
from nights_project import ASKED, wins  # noqa: E402

from genarm.intake import held  # noqa: E402
from genarm.registry import tags  # noqa: E402
from genarm.registry.nights import nights  # noqa: E402
from genarm.registry.overview import concluded  # noqa: E402

DOCS = BENCHMARKS.parent / "docs" / "operations.md"
LEAST = 40  # wins of 60 from which p < 0.01


def test_the_plan_follows_from_the_strengths():
    """What is promoted wins often enough over what was in use, and what is held does not."""
    trained, in_use = "", ""
    of_version: dict[str, str] = {}
    for night in PLAN:
        trained = night.expected.data if night.expected.data in DATA else trained
        version, _, outcome = night.expected.decision.partition(" ")
        if "is back" in night.expected.measured:  # the champion changed before the decision
            in_use = of_version[night.expected.in_use]
        if outcome:
            of_version[version] = trained
            won = wins(DATA[trained][2], DATA[in_use][2] if in_use else 0, ASKED)
            assert (won >= LEAST) is (outcome != "hold"), (
                night,
                won,
            )  # the blocked one wins, and is rejected
        in_use = of_version.get(night.expected.in_use, in_use)
    assert len(PLAN) == 30 and of_version == {f"v{n}": name for n, name in enumerate("ABCDEFG", 1)}


def test_the_page_shows_the_table_of_the_script():
    assert markdown([night.expected for night in PLAN]) in DOCS.read_text(encoding="utf-8")


@pytest.mark.slow
def test_thirty_nights_leave_the_record_that_the_rules_give(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    happened, lived = simulate(tmp_path)
    assert [(i, h) for i, h in enumerate(happened, 1)] == [(i, n.expected) for i, n in enumerate(PLAN, 1)]
    store, layout = lived.store, lived.project.layout

    rows = {row["version"]: row for row in store.list([DIMENSION])}
    made = {n: lived.names[store.version(DIMENSION, n).tags[tags.DATA_MD5]] for n in sorted(rows)}
    assert made == dict(enumerate("ABCDEFG", 1))
    assert {alias: n for n, row in rows.items() for alias in row["aliases"]} == {"champion": 7, "previous": 6}
    assert [n for n, row in sorted(rows.items()) if row["blocked"]] == [5]
    outcomes = [one.outcome for one in reversed(concluded(store, 100))]
    assert outcomes == [
        "promote", "hold", "promote", "hold", "promote", "rollback", "reject", "promote", "promote"
    ]  # fmt: skip

    measured = [n for n in PLAN if "/20" in n.expected.measured]
    noted = list(reversed(nights(store, DIMENSION)))
    days = [n.clock if n.clock.count("-") == 2 else f"2027-{n.clock}" for n in measured]
    assert [(n.number, n.day) for n in noted] == list(enumerate(days))
    assert [f"v{n.version} {round(n.win_rate.value * 20)}/20" for n in noted] == [
        n.expected.measured.partition(",")[0] for n in measured
    ]
    assert [n.day for n in noted if n.worse] == ["2027-03-23"]

    champion, incumbent = (of[DIMENSION] for of in (lived.project.champions(), lived.project.incumbents()))
    assert champion and incumbent and (champion.version, incumbent.version) == (7, 6)
    assert held.waiting(lived.project.root) is None
    pushed = [h for h in happened if h.published == "pushed"]
    assert int(git(lived.bare, "rev-list", "--count", "main")) == 1 + len(pushed)
    assert git(lived.bare, "rev-parse", "main") == git(lived.project.root, "rev-parse", "HEAD")
    assert not git(lived.project.root, "status", "--porcelain", "--", "data.dvc", "mlflow/*.json")
    assert layout.champions.is_file() and all(isinstance(h, Happened) for h in happened)
