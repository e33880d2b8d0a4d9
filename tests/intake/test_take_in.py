"""A refresh with real DVC: what changed comes in, what is worse waits, and what fails changes nothing."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from dvc_project import dvc

from genarm.data.dvc import data_version, set_data
from genarm.errors import DataError, Unreachable
from genarm.intake import held, record
from genarm.intake.take_in import take_in

HOUR = timedelta(hours=1)


@pytest.fixture
def refreshed(project, params, toy, web):
    """A refresh of a project whose dimension `kind` is on the site, and `plain` has no source."""
    plain = project.parent / "own"
    plain.mkdir(exist_ok=True)

    def now(data=None):
        found = params(data, kind=("kind/*.jsonl", f"{web.address}/a.jsonl"), plain=("plain.jsonl", None))
        return take_in(project, found, lambda: toy.tokenizer)

    return now


@pytest.fixture
def begun(project, rows, web, refreshed):
    """The same after its first refresh: forty pairs each."""
    (project / "start").mkdir()
    (project / "start" / "plain.jsonl").write_bytes(rows(range(40)))
    set_data(project, str(project / "start"))
    web.files["a.jsonl"] = rows(range(40))
    assert refreshed().version == data_version(project)
    return refreshed


def texts(project):
    return {
        f.relative_to(project / "data").as_posix(): f.read_bytes() for f in (project / "data").rglob("*.*")
    }


def test_what_changed_comes_in_and_what_did_not_is_not_even_fetched(project, rows, web, begun):
    assert set(texts(project)) == {"kind/a.jsonl", "plain.jsonl"}
    pointer = (project / "data.dvc").read_bytes()
    dvc(project, "repro", "data.dvc")  # DVC leaves what data.dvc says of the sources alone
    web.asked.clear()
    assert begun().outcome == "nothing new"
    (answer,) = record.answered(project).values()
    assert answer.state == "unchanged" and datetime.now(UTC) - datetime.fromisoformat(answer.at) < HOUR
    assert {method for method, _ in web.asked} == {"HEAD"}
    assert (project / "data.dvc").read_bytes() == pointer

    web.files["a.jsonl"] = rows([n for n in range(42) if n != 3], flipped=[])
    news = begun()
    assert news.outcome.endswith(": 2 added, 1 gone, 0 changed, 0 flipped")
    assert texts(project) == {"kind/a.jsonl": web.files["a.jsonl"], "plain.jsonl": rows(range(40))}
    assert news.version == data_version(project) and pointer != (project / "data.dvc").read_bytes()
    assert [f.name for f in (project / ".cache" / "intake").iterdir()] == ["answered.json"]


def test_the_same_bytes_under_another_mark_are_no_new_version(project, web, begun):
    pointer = (project / "data.dvc").read_bytes()
    (kept,) = record.read(project)
    record.write(project, [dataclasses.replace(kept, mark="of another time")])
    changed = (project / "data.dvc").read_bytes()
    for fetched in (True, False):  # once it was looked at, its mark is known
        web.asked.clear()
        assert begun().outcome == "nothing new"
        assert (("GET", "a.jsonl") in web.asked) == fetched
    assert (project / "data.dvc").read_bytes() == changed != pointer


def test_worse_data_waits_until_a_person_answers(project, rows, web, begun):
    before, version = texts(project), data_version(project)
    web.files["a.jsonl"] = rows(range(40), flipped=range(10))
    news = begun()
    assert "10 of 40 known pairs prefer the other response now (25.0%)" in news.outcome
    web.asked.clear()
    assert begun().held == news.held and {method for method, _ in web.asked} == {"HEAD"}
    assert (texts(project), data_version(project)) == (before, version)

    held.refuse(project, "by a test")
    again = begun()
    assert again.held is None and "as it is now it was refused by a test" in again.told[0]
    web.files["a.jsonl"] = rows(range(40), flipped=range(11))  # it changed, so it is looked at once more
    assert begun().held
    taken, _ = held.take(project)
    assert taken == data_version(project) != version and begun().outcome == "nothing new"
    assert texts(project)["kind/a.jsonl"] == web.files["a.jsonl"]


def test_limits_are_those_of_the_parameters_and_an_answer_is_for_one_version(project, rows, web, begun):
    web.files["a.jsonl"] = rows(range(40), flipped=range(10))
    assert begun().held
    (project / "start" / "plain.jsonl").write_bytes(rows(range(41)))
    set_data(project, str(project / "start"))
    with pytest.raises(DataError, match="compared with version .* is in use"):
        held.take(project)
    assert begun(data={"max_flipped": 0.25}).version


def test_a_source_that_fails_leaves_everything_as_it_was(project, web, begun):
    before, pointer = texts(project), (project / "data.dvc").read_bytes()
    for content, error, says in (
        (404, DataError, "dimensions.kind.data.from: nothing at .*has 1 file of it, which stay"),
        (403, DataError, "no right to read"),
        (503, Unreachable, "cannot be read now"),
        (b"", DataError, "'kind' has no rows"),
        (b"<html>\n" * 40, DataError, "rows of 'kind' were refused"),
    ):
        web.files["a.jsonl"] = content
        with pytest.raises(error, match=says):
            begun()
        assert (texts(project), (project / "data.dvc").read_bytes()) == (before, pointer)
        assert [f.name for f in (project / ".cache" / "intake").iterdir()] == ["answered.json"]


def test_a_source_that_changes_while_it_is_read_is_read_again_and_then_refused(project, rows, web, begun):
    before, web.restless = texts(project), True
    web.files["a.jsonl"] = rows(range(41))
    with pytest.raises(Unreachable, match="it changes while it is read, 3 times in a row"):
        begun()
    assert [method for method, _ in web.asked].count("GET") == 1 + 3
    assert texts(project) == before
    web.restless = False
    assert begun().version


def test_sources_that_would_have_a_file_of_one_name_are_refused(project, params, rows, toy, web):
    for folder in ("one", "two"):
        (project / folder).mkdir()
        (project / folder / "a.jsonl").write_bytes(rows(range(40)))
    clash = params(kind=("*.jsonl", "one"), plain=("*.jsonl", "two"))
    with pytest.raises(DataError, match=r"dimensions.plain.data.from has a file a.jsonl, and so has another"):
        take_in(project, clash, lambda: toy.tokenizer)
    apart = params(kind=("one/*.jsonl", "one"), plain=("two/*.jsonl", "two"))
    assert take_in(project, apart, lambda: toy.tokenizer).version == data_version(project)
    assert set(texts(project)) == {"one/a.jsonl", "two/a.jsonl"}
