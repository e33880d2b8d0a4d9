"""Both orders of a comparison, and what is counted of them; every number is worked by hand."""

import pytest

from genarm.judges.statistics import Games, JudgeStatistics


@pytest.mark.parametrize(
    ("left_first", "right_first", "preference", "consistent"),
    [
        (1.0, 0.5, 0.75, True),
        (1.0, -0.2, 0.0, False),  # opposite verdicts are a tie
        (0.4, 0.0, 0.2, False),
        (0.0, 0.0, 0.0, True),
        (None, 1.0, None, None),
    ],
)
def test_two_orders_make_one_preference(left_first, right_first, preference, consistent):
    games = Games(left_first, right_first)
    assert games.preference == preference
    assert games.consistent is consistent


def test_what_is_counted():
    """Answers: left left, left right (first twice), right left (second twice), tie tie, none left."""
    games = [Games(1, 1), Games(1, -1), Games(-1, 1), Games(0, 0), Games(None, 1)]
    found = JudgeStatistics.of(games)
    assert (found.comparisons, found.ties, found.unreadable) == (5, 3, 1)
    assert found.first == (1 + 0 + 1 + 1 + 0 + 0 + 0.5 + 0.5 + 0) / 9
    assert found.consistent == 2 / 4


def test_bad_judges_are_told():
    by_position, of_ties = JudgeStatistics.of([Games(1, -1)] * 10), JudgeStatistics.of([Games(0, 0)] * 10)
    assert "first response in 100% of its answers" in by_position.complaints[0]
    assert of_ties.complaints == ["every comparison that could be read is a tie (10)"]
    assert JudgeStatistics.of([Games(None, None)] * 10).complaints == [
        "10 of 10 comparisons could not be read"
    ]
    assert not JudgeStatistics.of([Games(1, 1), Games(-1, -1)] * 5).complaints
    assert not JudgeStatistics.of([Games(1, -1)] * 9).complaints  # too few to say anything
