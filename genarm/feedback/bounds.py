"""Which votes become pairs: those with consent that no bound leaves out, each with its reason.

Numbers and hashes alone pass through here: no text, no clock, no database.
"""

import hashlib
import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from genarm.config import FeedbackConfig
from genarm.feedback.comparison import Vote

MINUTE, DAY = 60.0, 24 * 3600.0
CHANCE = 0.001  # of an honest person's votes being called one-sided, by an exact test at 1/2

ONE_SIDE = "of a person who nearly always chose one side"
NO_CONSENT = "without consent"
TIE = "ties"
SAME = "of responses that are empty or the same"
FAST = "faster than they can be read"
PER_MINUTE, PER_DAY = "beyond the votes of a minute", "beyond the votes of a day"
DUPLICATE, SPLIT = "near-duplicates of a pair that is taken", "on a pair on which as many prefer the other"
SHARE = "beyond one person's share"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A vote without its texts.

    `pair` is the same for near-duplicates, whose texts are equal once `normalised`; `same` holds where the
    two responses make no pair, and `first` where the preferred one comes first in their order. `seconds` are
    from the answers to the vote, `characters` those of both responses.
    """

    id: str
    person: tuple[str, str]
    choice: Literal["a", "b", "tie"]
    consent: bool
    at: float
    seconds: float
    characters: int
    pair: bytes
    same: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Bounded:
    """The ids of the votes that count, and how many were left out for each reason."""

    ids: frozenset[str]
    left_out: dict[str, int]


def candidate(vote: Vote) -> Candidate:
    """A vote as the bounds see it."""
    c = vote.comparison
    a, b = normalised(c.a.text), normalised(c.b.text)
    prompt = "\0".join(f"{turn['role']}\1{normalised(turn['content'])}" for turn in c.prompt)
    both = "\0\0".join((prompt, *sorted((a, b)))).encode("utf-8", "surrogatepass")
    return Candidate(
        id=c.id,
        person=(c.key, c.user),
        choice=vote.choice,
        consent=c.consent,
        at=vote.at,
        seconds=vote.at - c.created,
        characters=c.a.length + c.b.length,
        pair=hashlib.sha256(both).digest(),
        same=a == b or not (c.a.text.strip() and c.b.text.strip()),
        first=(vote.choice == "a") == (a < b),
    )


def normalised(text: str) -> str:
    """A text of which case, form of characters, punctuation and white space do not count."""
    text = unicodedata.normalize("NFKC", text).casefold()
    letters = (" " if unicodedata.category(c)[0] in "PZC" else c for c in text)
    return " ".join("".join(letters).split()) or text


def bounded(votes: Iterable[Candidate], config: FeedbackConfig) -> Bounded:
    """The votes that count. A vote that several bounds leave out is counted under the first of them."""
    votes = list(votes)
    one_sided = {p for p, choices in _by_person(votes).items() if is_one_sided(choices, config.max_one_side)}
    too_many = beyond(votes, config)
    left_out: Counter[str] = Counter()
    kept: list[Candidate] = []
    for vote in votes:
        reasons = {
            NO_CONSENT: not vote.consent,
            TIE: vote.choice == "tie",
            ONE_SIDE: vote.person in one_sided,
            SAME: vote.same,
            FAST: too_fast(vote, config),
            PER_MINUTE: too_many.get(vote.id) == PER_MINUTE,
            PER_DAY: too_many.get(vote.id) == PER_DAY,
        }
        if reason := next((name for name, holds in reasons.items() if holds), ""):
            left_out[reason] += 1
        else:
            kept.append(vote)
    shared = _of_many_people(_one_of_each_pair(kept, left_out), config.max_share, left_out)
    return Bounded(frozenset(vote.id for vote in shared), dict(left_out))


def is_one_sided(choices: Counter[str], most: float) -> bool:
    """Whether one side has more than a share of `most`, and chance alone would give that in under 1 of 1000.

    Sides are shuffled, so whoever reads chooses each half of the time. Ten times A is kept, 2 / 2^10 = 0.002,
    and eleven times is not, 2 / 2^11 < 0.001.
    """
    sides = choices["a"] + choices["b"]
    top = max(choices["a"], choices["b"])
    return sides > 0 and top > most * sides and float(stats.binomtest(top, sides).pvalue) < CHANCE


def fair_cap(counts: Iterable[int], share: float) -> int:
    """The most pairs of one person such that nobody has more than `share` of those that are kept.

    The largest c with c <= share * sum(min(count, c)): of 10, 4 and 4 pairs and a share of one half, 8.
    It is 0 where there are fewer people than 1 / share.
    """
    counts = list(counts)
    cap = max(counts, default=0)
    while cap > (now := int(share * sum(min(n, cap) for n in counts) + 1e-9)):
        cap = now
    return cap


def _by_person(votes: Iterable[Candidate]) -> dict[tuple[str, str], Counter[str]]:
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for vote in votes:
        found[vote.person][vote.choice] += 1
    return found


def too_fast(vote: Candidate, config: FeedbackConfig) -> bool:
    """Whether a vote came before both responses can have been read."""
    return vote.seconds * config.max_speed < vote.characters


def beyond(votes: Sequence[Candidate], config: FeedbackConfig) -> dict[str, str]:
    """The votes of each person beyond those that a minute and a day allow; those left out count no more."""
    recent: dict[tuple[str, str], deque[float]] = defaultdict(deque)
    found: dict[str, str] = {}
    for vote in sorted(votes, key=lambda v: v.at):
        counted = recent[vote.person]
        while counted and counted[0] <= vote.at - DAY:
            counted.popleft()
        if len(counted) >= config.max_per_day:
            found[vote.id] = PER_DAY
        elif len(counted) >= config.max_per_minute and counted[-config.max_per_minute] > vote.at - MINUTE:
            found[vote.id] = PER_MINUTE
        else:
            counted.append(vote.at)
    return found


def _one_of_each_pair(votes: Sequence[Candidate], left_out: Counter[str]) -> list[Candidate]:
    """Of near-duplicates the first vote of the majority; none where the majority is of nobody."""
    groups: dict[bytes, list[Candidate]] = defaultdict(list)
    for vote in votes:
        groups[vote.pair].append(vote)
    kept: list[Candidate] = []
    for group in groups.values():
        balance = sum(1 if vote.first else -1 for vote in group)
        if balance == 0:
            left_out[SPLIT] += len(group)
            continue
        kept.append(next(vote for vote in group if vote.first == (balance > 0)))
        if len(group) > 1:
            left_out[DUPLICATE] += len(group) - 1
    return kept


def _of_many_people(votes: Sequence[Candidate], share: float, left_out: Counter[str]) -> list[Candidate]:
    """Each person's first votes up to the cap; what counts goes on to count as others vote."""
    cap = fair_cap(Counter(vote.person for vote in votes).values(), share)
    seen: Counter[tuple[str, str]] = Counter()
    kept: list[Candidate] = []
    for vote in sorted(votes, key=lambda v: (v.at, v.id)):
        seen[vote.person] += 1
        if seen[vote.person] <= cap:
            kept.append(vote)
        else:
            left_out[SHARE] += 1
    return kept
