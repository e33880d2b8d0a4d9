"""Votes as a source beside a file: they come in, are asked for cheaply, and go when their user is erased."""

import json
import time

import pytest
from feedback_toys import Desk

from genarm.config import FeedbackConfig
from genarm.data.dvc import data_version
from genarm.errors import ConfigError, DataError
from genarm.intake import record
from genarm.intake.take_in import ask_only, take_in


@pytest.fixture
def desk(project):
    made = Desk(project)
    yield made
    made.store.close()


@pytest.fixture
def refreshed(project, params, toy, rows, desk):
    """A refresh of a project whose dimension `kind` has a file and the votes; `plain` has a file alone."""
    (project / "kind.jsonl").write_bytes(rows(range(40)))
    (project / "plain.jsonl").write_bytes(rows(range(40)))

    def now(ask=False, **feedback):
        found = params(
            feedback={"store": "f.db", "max_share": 1} | feedback,
            kind=("kind*.jsonl", ["kind.jsonl", "feedback://"]),
            plain=("plain.jsonl", "plain.jsonl"),
        )
        return ask_only(project, found) if ask else take_in(project, found, lambda: toy.tokenizer)

    return now


def votes_in(project):
    return [json.loads(line) for line in (project / "data/kind-feedback.jsonl").read_text().splitlines()]


def test_votes_are_added_to_the_pairs_of_a_file_and_erased_ones_go(project, desk, refreshed):
    assert refreshed().version and votes_in(project) == []  # nobody voted yet
    for i in range(3):
        desk.vote(f"x{i}", user=f"u{i}")
    assert refreshed(ask=True) is None  # there is something to fetch
    news = refreshed()
    [change] = [c for c in news.changes if c.dimension == "kind"]
    assert (change.pairs, change.added) == ((40, 43), 3) and news.version == data_version(project)
    assert [row["comparison_id"] for row in votes_in(project)] == ["x0", "x1", "x2"]
    assert {r.source: r.files for r in record.read(project)} == {
        "kind.jsonl": ("kind.jsonl",),
        "feedback://kind": ("kind-feedback.jsonl",),
        "plain.jsonl": ("plain.jsonl",),
    }
    assert refreshed(ask=True).outcome == refreshed().outcome == "nothing new"

    desk.vote("refused", consent=False)  # the store changed, its pairs did not
    assert refreshed(ask=True) is None and refreshed().outcome == "nothing new"
    assert refreshed(ask=True).outcome == "nothing new"

    desk.store.erase("u1")
    assert refreshed().version and [row["comparison_id"] for row in votes_in(project)] == ["x0", "x2"]
    assert refreshed(max_share=0.1).version and votes_in(project) == []  # two people keep no share of a tenth


def test_many_votes_are_asked_for_in_no_time(project, desk, refreshed):
    """Two numbers of an index, whatever the votes are: 20,000 of them here."""
    from sqlalchemy import insert

    from genarm.feedback.schema import comparisons, votes

    desk.vote("x")
    with desk.store.database.writing() as connection:
        row = connection.execute(comparisons.select()).one()._asdict()
        vote = connection.execute(votes.select()).one()._asdict()
        ids = [f"m{i}" for i in range(20_000)]
        connection.execute(insert(comparisons), [row | {"id": id} for id in ids])
        connection.execute(
            insert(votes), [vote | {"seq": i + 2, "comparison": id} for i, id in enumerate(ids)]
        )
    began = time.monotonic()
    assert desk.store.mark("kind") == (20_001, 20_001)
    assert time.monotonic() - began < 1


def test_a_store_that_cannot_be_read_names_its_parameter(project, desk, refreshed):
    assert refreshed().version
    before = (project / "data.dvc").read_text()
    desk.store.close()
    for file in project.glob("f.db*"):
        file.unlink()
    (project / "f.db").write_text("no database, but long enough to be taken for one" * 30)
    with pytest.raises(DataError, match=r"dimensions.kind.data.from: .* file is not a database"):
        refreshed()
    assert (project / "data.dvc").read_text() == before


@pytest.mark.parametrize(
    ("files", "source", "store", "says"),
    [
        ("kind*.jsonl", "feedback://", None, "feedback.store names no store of votes"),
        ("kind.jsonl", "feedback://", "f.db", "takes in no kind-feedback.jsonl.*such as kind\\*.jsonl"),
        ("in/*/*.jsonl", "feedback://", "f.db", "takes in no kind-feedback.jsonl"),
        ("kind*.jsonl", "feedback://kimd", "f.db", r"\(did you mean 'kind'\?\), which is no dimension"),
        ("kind*.jsonl", ["a", "a"], "f.db", "names a source twice"),
        ("kind*.jsonl", [], "f.db", "it names no source"),
        ("kind*.jsonl", None, "mysql://x/y", "mysql:// is no store"),
        ("kind*.jsonl", None, "postgresql://me@x/y", "PGPASSWORD"),
    ],
)
def test_parameters_that_do_not_fit_are_told_at_once(files, source, store, says):
    from genarm.config import check_params

    data = {"files": files} | ({} if source is None else {"from": source})
    values = {
        "base": {"model": "x"},
        "dimensions": {"kind": {"data": data, "judge": "length", "weight": 1}},
        "feedback": {} if store is None else {"store": store},
    }
    with pytest.raises(ConfigError, match=says):
        check_params(values, "params.yaml")


def test_a_folder_and_any_depth_take_votes_in(params):
    for files in ("kind/*.jsonl", "kind/**/*.jsonl", "*.jsonl"):
        assert params(
            feedback=FeedbackConfig(store="f.db").model_dump(), kind=(files, ["kind.jsonl", "feedback://"])
        )
