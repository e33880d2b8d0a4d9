"""Which votes count, by numbers worked by hand."""

from collections import Counter
from dataclasses import replace

import pytest
from feedback_toys import NOW, compared

from genarm.config import FeedbackConfig
from genarm.feedback import bounds
from genarm.feedback.bounds import Candidate, bounded, candidate, fair_cap, is_one_sided, normalised
from genarm.feedback.comparison import Answer, Vote

OPEN = FeedbackConfig(max_share=1, max_per_minute=10**6, max_per_day=10**6, max_speed=1e9, max_one_side=1)
PLAIN = Candidate("", ("anybody", "u"), "a", True, NOW, 60.0, 100, b"", False, True)


def cast(count: int, **same: object) -> list[Candidate]:
    """So many votes on pairs of their own, a minute apart."""
    given = {"user": "u"} | same
    user, every = given.pop("user"), given.pop("every", 60.0)
    return [
        replace(
            PLAIN,
            id=f"{user}-{i}",
            person=("anybody", user),
            pair=f"{user}-{i}".encode(),
            at=NOW + i * every,
            **given,
        )
        for i in range(count)
    ]


def changed(**change: object) -> FeedbackConfig:
    return OPEN.model_copy(update=change)


def test_all_count_where_no_bound_bites():
    assert bounded(cast(7), OPEN) == bounds.Bounded(frozenset(f"u-{i}" for i in range(7)), {})


@pytest.mark.parametrize(
    ("vote", "reason"),
    [
        ({"consent": False}, bounds.NO_CONSENT),
        ({"choice": "tie"}, bounds.TIE),
        ({"same": True}, bounds.SAME),
        ({"consent": False, "choice": "tie"}, bounds.NO_CONSENT),
    ],
)
def test_a_vote_that_is_left_out_is_counted_under_its_first_reason(vote, reason):
    assert bounded(cast(3, **vote), OPEN) == bounds.Bounded(frozenset(), {reason: 3})


def test_a_vote_that_is_faster_than_reading_is_left_out():
    """120 characters at 60 a second take two seconds."""
    config = changed(max_speed=60.0)
    slow, fast = (
        replace(PLAIN, id=str(s), pair=str(s).encode(), seconds=s, characters=120) for s in (2.0, 1.9)
    )
    assert bounded([slow, fast], config) == bounds.Bounded(frozenset({"2.0"}), {bounds.FAST: 1})


def test_votes_beyond_those_of_a_minute_and_a_day_are_left_out():
    """One every 15 s and two a minute: at 0 and 15, then those of 0 have passed at 60, and so on."""
    found = bounded(cast(8, every=15.0), changed(max_per_minute=2))
    assert found.ids == {"u-0", "u-1", "u-4", "u-5"} and found.left_out == {bounds.PER_MINUTE: 4}
    hour = 3600.0
    found = bounded(cast(30, every=hour), changed(max_per_day=20))  # hours 0 to 19, then 24 to 29
    assert found.ids == {f"u-{i}" for i in (*range(20), *range(24, 30))}
    assert found.left_out == {bounds.PER_DAY: 4}
    both = [*cast(2, every=1.0), *cast(2, user="v", every=1.0)]  # each person has a minute of their own
    assert len(bounded(both, changed(max_per_minute=2)).ids) == 4


@pytest.mark.parametrize(
    ("a", "b", "most", "one_sided"),
    [
        (10, 0, 0.9, False),  # 2 / 2^10 = 0.002
        (11, 0, 0.9, True),  # 2 / 2^11 = 0.0005
        (0, 11, 0.9, True),
        (19, 1, 0.9, True),  # 2 * 21 / 2^20, and 0.95 is more than 0.9
        (18, 2, 0.9, False),  # 0.9 is no more than 0.9
        (570, 430, 0.9, False),  # chance would not give it, yet it is a person who reads
        (100, 0, 1.0, False),
        (0, 0, 0.5, False),
    ],
)
def test_who_nearly_always_chooses_one_side_is_left_out(a, b, most, one_sided):
    assert is_one_sided(Counter(a=a, b=b, tie=50), most) is one_sided
    votes = [*cast(a, user="u"), *(replace(v, id=f"b{v.id}") for v in cast(b, choice="b"))]
    found = bounded(votes, changed(max_one_side=most))
    assert found.left_out.get(bounds.ONE_SIDE, 0) == (a + b if one_sided else 0)


def test_of_near_duplicates_the_first_vote_of_the_majority_counts():
    votes = [replace(v, pair=b"same", first=i != 0) for i, v in enumerate(cast(4))]  # 1 against 3
    assert bounded(votes, OPEN) == bounds.Bounded(frozenset({"u-1"}), {bounds.DUPLICATE: 3})
    assert bounded(votes[:2], OPEN) == bounds.Bounded(frozenset(), {bounds.SPLIT: 2})


def test_near_duplicates_are_told_by_their_words():
    assert normalised("  Très\tBIEN… \n (oui)") == normalised("très bien oui")
    assert normalised("yes") != normalised("yes and no") and normalised("...") != normalised("!?")
    asked = compared("i")
    swapped = replace(asked, a=Answer("NO i!", {}, {}, 1), b=Answer("Yes,  i", {}, {}, 2), guided="b")
    one, two, three = (
        candidate(Vote(1, c, choice, "", NOW + 9))
        for c, choice in ((asked, "a"), (swapped, "b"), (swapped, "a"))
    )
    assert one.pair == two.pair == three.pair and one.first == two.first != three.first
    assert (one.seconds, one.characters, one.same) == (9, len("yes i") + len("no i"), False)
    assert candidate(Vote(1, replace(asked, b=Answer("YES i", {}, {}, 1)), "a", "", NOW)).same
    assert candidate(Vote(1, replace(asked, b=Answer(" ", {}, {}, 1)), "a", "", NOW)).same


@pytest.mark.parametrize(
    ("counts", "share", "cap"),
    [
        ([10, 4, 4], 0.5, 8),  # 8 of 16
        ([10], 0.1, 0),  # nobody else
        ([5] * 9, 0.1, 0),  # too few people
        ([5] * 10, 0.1, 5),
        ([100] + [5] * 9, 0.1, 5),
        ([3] * 11 + [50], 0.1, 3),  # 3 of 36; with 4 it would be 4 of 37
        ([10, 1], 1.0, 10),
        ([], 0.1, 0),
    ],
)
def test_nobody_has_more_than_their_share(counts, share, cap):
    assert fair_cap(counts, share) == cap
    votes = [vote for user, count in enumerate(counts) for vote in cast(count, user=f"p{user}")]
    found = bounded(votes, changed(max_share=share))
    of = Counter(id.partition("-")[0] for id in found.ids)
    assert all(n <= share * len(found.ids) for n in of.values()) and max(of.values(), default=0) == cap
    assert found.left_out.get(bounds.SHARE, 0) == sum(counts) - len(found.ids)
    assert {f"p0-{i}" for i in range(min(cap, counts[0] if counts else 0))} <= found.ids  # the first ones
