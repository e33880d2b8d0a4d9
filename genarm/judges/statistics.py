"""How a judge judges, whatever it says: does it go by position, does it contradict itself, can it be read?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from genarm.judges.base import Judge
from genarm.system.counted import counted

FEWEST = 10  # comparisons below which nothing is said against a judge
CONSISTENT = 0.5  # share of consistent comparisons below which position is to blame
FIRST = 0.25  # distance from 1/2 at which a judge is said to go by position
UNREADABLE = 0.05  # share


@dataclass(frozen=True, slots=True)
class Usage:
    """What a judge has cost: requests answered and sent again, answers found on disk, tokens, dollars."""

    requests: int = 0
    repeated: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    dollars: float | None = None  # None where no price is known

    def after(self, earlier: "Usage") -> "Usage":
        """The cost of both; what was found on disk is that of the later, since it repeats the earlier."""
        known = [usage.dollars for usage in (earlier, self) if usage.dollars is not None]
        return Usage(
            requests=earlier.requests + self.requests,
            repeated=earlier.repeated + self.repeated,
            cached=self.cached,
            tokens_in=earlier.tokens_in + self.tokens_in,
            tokens_out=earlier.tokens_out + self.tokens_out,
            dollars=sum(known) if known else None,
        )

    def __str__(self) -> str:
        cost = "" if self.dollars is None else f", ${self.dollars:.{2 if self.dollars >= 1 else 4}f}"
        again = f", {self.repeated} sent again" if self.repeated else ""
        return (
            f"{counted(self.requests, 'request')}{again}, {counted(self.cached, 'answer')} from disk, "
            f"{counted(self.tokens_in, 'token')} read and {self.tokens_out} written{cost}"
        )


@dataclass(frozen=True, slots=True)
class Games:
    """One comparison in both orders: the preference for `left` in [-1, 1] where it came first, and second.

    None stands for an answer that could not be read.
    """

    left_first: float | None
    right_first: float | None

    @property
    def preference(self) -> float | None:
        """The mean of the two orders; 0 where they say opposite things, None where one cannot be read."""
        if self.left_first is None or self.right_first is None:
            return None
        if self.left_first * self.right_first < 0:
            return 0.0
        return (self.left_first + self.right_first) / 2

    @property
    def consistent(self) -> bool | None:
        """Whether both orders prefer the same response, or both none; None where one cannot be read."""
        if self.left_first is None or self.right_first is None:
            return None
        return _sign(self.left_first) == _sign(self.right_first)

    @property
    def firsts(self) -> list[float]:
        """Of each order that can be read: 1 for the first response, 0 for the second, 1/2 for a tie."""
        told = (self.left_first, 1), (self.right_first, -1)
        return [(1 + _sign(said) * side) / 2 for said, side in told if said is not None]


@dataclass(frozen=True, slots=True)
class JudgeStatistics:
    """What is known of a judge without knowing who is right.

    `first` is P(says the first response), over all answers that could be read, a tie counting 1/2; a judge
    without a liking for a position has 1/2. `consistent` is the share of readable comparisons in which both
    orders say the same. Both are None where nothing could be read. `ties` are comparisons without a
    preference, those included whose orders contradict each other. `example` is the beginning of the first
    answer that could not be read, in one line and without secrets.
    """

    comparisons: int
    ties: int
    unreadable: int
    first: float | None = None
    consistent: float | None = None
    example: str | None = None

    @classmethod
    def of(cls, games: Sequence[Games], example: str | None = None) -> "JudgeStatistics":
        """Count the comparisons of one judge, each in both orders."""
        firsts = [first for game in games for first in game.firsts]
        consistent = [said for game in games if (said := game.consistent) is not None]
        return cls(
            comparisons=len(games),
            ties=sum(game.preference == 0 for game in games),
            unreadable=sum(game.preference is None for game in games),
            first=sum(firsts) / len(firsts) if firsts else None,
            consistent=sum(consistent) / len(consistent) if consistent else None,
            example=example,
        )

    @property
    def complaints(self) -> list[str]:
        """What speaks against the judge, each with its number; too few comparisons say nothing."""
        if self.comparisons < FEWEST:
            return []
        found = []
        if self.unreadable / self.comparisons > UNREADABLE:
            said = "" if self.example is None else f"; the first such answer is {self.example}"
            found.append(f"{self.unreadable} of {self.comparisons} comparisons could not be read{said}")
        if self.first is not None and self.consistent is not None:
            if abs(self.first - 0.5) > FIRST and self.consistent < CONSISTENT:
                found.append(
                    f"it goes by position: it prefers the first response in {self.first:.0%} of its answers, "
                    f"and says the same in both orders in {self.consistent:.0%} of the comparisons"
                )
            elif self.consistent < CONSISTENT:
                found.append(f"both orders say the same in only {self.consistent:.0%} of the comparisons")
        if self.ties == self.comparisons - self.unreadable and self.ties:
            found.append(f"every comparison that could be read is a tie ({self.ties})")
        return found


@runtime_checkable
class AskedJudge(Protocol):
    """A judge whose verdicts are asked of somebody: it knows what they cost, and how it judged."""

    @property
    def usage(self) -> Usage:
        """What was asked so far, and what it cost."""

    @property
    def statistics(self) -> JudgeStatistics:
        """What is known of it from the comparisons so far."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one judge that was asked, beside its verdicts."""

    usage: Usage
    statistics: JudgeStatistics


def told(judges: Mapping[str, Judge], earlier: Mapping[str, Told] | None = None) -> dict[str, Told]:
    """The cost and the statistics of those judges that are asked, by name; of a scorer there are none.

    `earlier` is what was told of them at the look before: its cost is added.
    """
    before = earlier or {}
    return {
        name: Told(judge.usage.after(before[name].usage) if name in before else judge.usage, judge.statistics)
        for name, judge in judges.items()
        if isinstance(judge, AskedJudge)
    }


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
