"""Which recordings are kept, found again and dropped: plain objects with a key, a size and a user."""

from dataclasses import dataclass

from genarm.decoding.runner.recordings import Recordings


@dataclass(eq=False)
class Step:
    key: object
    bytes: int = 10
    free: bool = False


def used_in_order(*steps: Step, most: int = 100) -> Recordings[Step]:
    recordings = Recordings[Step]()
    for step in steps:
        recordings.used(step, most)
    return recordings


def test_a_free_recording_with_the_key_is_found_and_none_in_use():
    busy, free, other = Step("a"), Step("a", free=True), Step("b", free=True)
    recordings = used_in_order(busy, free, other)
    assert recordings.fitting("a") is free and recordings.fitting("b") is other
    assert recordings.fitting("c") is None
    free.free = False
    assert recordings.fitting("a") is None


def test_of_two_that_fit_the_one_used_last_is_taken():
    first, second = Step("a", free=True), Step("a", free=True)
    recordings = used_in_order(first, second)
    assert recordings.fitting("a") is second
    recordings.used(first, 100)
    assert recordings.fitting("a") is first and len(recordings) == 2


def test_the_longest_unused_are_dropped_first_and_none_in_use():
    busy = Step("busy", bytes=1000)
    old, middle, new = (Step(name, free=True) for name in ("old", "middle", "new"))
    recordings = used_in_order(busy, old, middle, new)
    recordings.used(Step("now"), most=20)
    assert [recordings.fitting(name) for name in ("old", "middle", "new")] == [None, middle, new]
    recordings.used(Step("later"), most=0)
    assert len(recordings) == 3  # busy, now and later
    busy.free = True
    assert recordings.fitting("busy") is busy  # what has just become free stays until another is used
    recordings.used(Step("last"), most=999)
    assert recordings.fitting("busy") is None


def test_none_that_was_used_before_a_dropped_one_stays():
    small, large, new = Step("s", 1, free=True), Step("l", 50, free=True), Step("n", 5, free=True)
    recordings = used_in_order(small, large, new)
    recordings.used(Step("now"), most=20)
    assert (recordings.fitting("s"), recordings.fitting("l"), recordings.fitting("n")) == (None, None, new)


def test_forgetting_spares_what_is_in_use():
    recordings = used_in_order(Step("a"), Step("b", free=True))
    recordings.drop_free()
    assert len(recordings) == 1 and recordings.fitting("b") is None
