"""A vote counts once and in its time; what is erased is gone from the disk; a store is of one form."""

import sqlite3

import pytest
from feedback_toys import HOUR, NOW, Desk, compared
from sqlalchemy import text

from genarm.config import FeedbackConfig
from genarm.errors import ConfigError, DataError, Unreachable
from genarm.feedback import schema
from genarm.feedback.comparison import Answer
from genarm.feedback.store import KEPT_UNANSWERED, Answered, Expired, Store, Unknown


def bytes_of(folder) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("f.db*"))


def test_a_vote_counts_once(desk):
    asked = desk.vote("i", choice="b")
    for choice in ("a", "b"):
        with pytest.raises(Answered, match="the first vote counts"):
            desk.store.vote("i", "anybody", "u", choice, "")
    [vote] = desk.store.votes("kind")
    assert (vote.comparison, vote.choice, vote.at, vote.preferred) == (asked, "b", NOW + 60, "other")
    assert desk.store.mark("kind") == (1, 1) and desk.store.mark("curt") == (0, 0)


@pytest.mark.parametrize(("key", "user"), [("anybody", "v"), ("team", "u")])
def test_nobody_votes_for_somebody_else(desk, key, user):
    desk.store.ask(compared("i"))
    with pytest.raises(Unknown):
        desk.store.vote("i", key, user, "a", "")
    with pytest.raises(Unknown):
        desk.store.vote("j", "anybody", "u", "a", "")
    assert desk.store.unanswered() == {"kind": 1}


def test_a_comparison_expires_and_is_deleted_a_day_later(desk):
    desk.store.ask(compared("i"))
    desk.now += HOUR + 1
    with pytest.raises(Expired):
        desk.store.vote("i", "anybody", "u", "a", "")
    assert desk.store.unanswered() == {}
    desk.now += KEPT_UNANSWERED
    desk.store.ask(compared("j"))
    with pytest.raises(Unknown):
        desk.store.vote("i", "anybody", "u", "a", "")


def test_without_consent_no_text_stays(desk, tmp_path):
    desk.vote("secret-id", consent=False)
    [vote] = desk.store.votes()
    assert vote.comparison.a.text == vote.comparison.b.text == "" and vote.comparison.prompt == []
    assert vote.preferred == "guided" and vote.comparison.a.versions == {"kind": 3}
    desk.store.database.forget_deleted()
    assert b"say secret-id" not in bytes_of(tmp_path)


def test_what_is_erased_is_gone_from_the_disk(desk, tmp_path):
    for i in range(5):
        desk.vote(f"mine-{i}", user="somebody")
        desk.vote(f"other-{i}", user="else")
    desk.vote("of-team", user="somebody", key="team")
    assert b"mine-3" in bytes_of(tmp_path)
    assert desk.store.erase("somebody", key="anybody") == 5
    assert b"mine-" not in bytes_of(tmp_path) and b"other-3" in bytes_of(tmp_path)
    assert desk.store.mark("kind") == (6, 11)
    assert desk.store.erase("somebody") == 1 and b"somebody" not in bytes_of(tmp_path)
    assert desk.store.erase("somebody") == 0


def test_the_mark_tells_every_change(desk):
    """An erasure and a vote in between leave the count, but a number is never given twice."""
    desk.vote("a", user="x")
    desk.vote("b", user="y")
    before = desk.store.mark("kind")
    desk.store.erase("y")
    desk.vote("c", user="x")
    assert desk.store.mark("kind") == (2, 3) != before
    assert desk.store.mark("kind", upto=2) == (1, 1)


def test_the_votes_of_a_trial_are_read_alone(desk):
    """Also where the texts are deleted, and whatever they say."""
    key, other = "0123456789abcdef", "fedcba9876543210"

    def side(trial, text="yes"):
        return Answer(text, {"kind": 0.3}, {"kind": 3}, 7, trial=trial)

    desk.vote("a", a=side(key))
    desk.vote("b", a=side(key), consent=False)
    desk.vote("c", a=side(other))
    desk.vote("d", a=side("", f'"trial": "{key}"'))
    desk.vote("e", a=side(key), dimension="curt")
    assert [vote.comparison.id for vote in desk.store.votes("kind", trial=key)] == ["a", "b"]
    assert [vote.comparison.id for vote in desk.store.votes("kind", trial="%")] == []
    assert len(list(desk.store.votes("kind"))) == 4


def test_the_file_is_for_its_owner_and_readers_wait_for_nobody(desk, tmp_path):
    assert (tmp_path / "f.db").stat().st_mode & 0o777 == 0o600
    with desk.store.database.writing() as connection:
        assert connection.execute(text("pragma journal_mode")).scalar() == "wal"
        assert desk.store.mark("kind") == (0, 0)


def test_user_ids_are_hashed_under_a_salt_that_stays(tmp_path, monkeypatch):
    config = FeedbackConfig(store="f.db", hash_users=True, max_share=1)
    with pytest.raises(ConfigError, match="salt of at least 16 characters"):
        Store(config, tmp_path)
    monkeypatch.setenv("GENARM_FEEDBACK_SALT", "salt" * 8)
    desk = Desk(tmp_path, config)
    desk.vote("i", user="somebody@example.org")
    [vote] = desk.store.votes()
    assert len(vote.comparison.user) == 64 and b"somebody@" not in bytes_of(tmp_path)
    for change in (lambda: monkeypatch.setenv("GENARM_FEEDBACK_SALT", "other" * 8), lambda: None):
        change()
        with pytest.raises(ConfigError, match="another salt"):
            Store(config, tmp_path)
    with pytest.raises(ConfigError, match="hashed, and feedback.hash_users wants them plain"):
        Store(FeedbackConfig(store="f.db"), tmp_path)
    monkeypatch.setenv("GENARM_FEEDBACK_SALT", "salt" * 8)
    assert Store(config, tmp_path).erase("somebody@example.org") == 1
    desk.store.close()


def test_an_older_store_is_brought_to_this_form_and_a_newer_one_refused(desk, tmp_path, monkeypatch):
    desk.vote("i")
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 1)
    monkeypatch.setitem(schema.STEPS, now, ("alter table feedback_votes add column mood text",))
    for _ in range(2):
        assert len(list(Store(desk.config, tmp_path).votes())) == 1
    with sqlite3.connect(tmp_path / "f.db") as database:
        assert database.execute("select mood from feedback_votes").fetchall() == [(None,)]
        assert database.execute("select version from feedback_schema").fetchall() == [(now + 1,)]
    monkeypatch.setattr(schema, "VERSION", now)
    with pytest.raises(DataError, match=f"version {now + 1} of the tables, and this genarm knows {now}"):
        Store(desk.config, tmp_path)


def test_what_is_no_store_is_told(tmp_path, monkeypatch):
    (tmp_path / "f.db").write_text("no database, but long enough to be taken for one" * 30)
    with pytest.raises(DataError, match="f.db: file is not a database"):
        Store(FeedbackConfig(store="f.db"), tmp_path)
    with pytest.raises(ConfigError, match="feedback.store is null"):
        Store(FeedbackConfig(), tmp_path)
    with pytest.raises(ConfigError, match="env://NOWHERE, and there is no such variable"):
        Store(FeedbackConfig(store="env://NOWHERE"), tmp_path)
    monkeypatch.setenv("VOTES", "postgresql://me:s3cr3t-word@127.0.0.1:9/votes")
    with pytest.raises(Unreachable, match="127.0.0.1") as refused:
        Store(FeedbackConfig(store="env://VOTES"), tmp_path)
    assert "s3cr3t" not in str(refused.value)
    monkeypatch.setenv("VOTES", "mysql://127.0.0.1/votes")
    with pytest.raises(ConfigError, match="of mysql, which is not supported"):
        Store(FeedbackConfig(store="env://VOTES"), tmp_path)
