"""Comparisons and votes of tests: a store in a folder, and a clock that is set."""

from dataclasses import dataclass, field
from pathlib import Path

from genarm.config import FeedbackConfig
from genarm.feedback.comparison import Answer, Choice, Comparison
from genarm.feedback.store import Store

NOW = 1_700_000_000.0
HOUR = 3600.0


def compared(id: str, user: str = "u", **more: object) -> Comparison:
    """A comparison of two short responses, of which A is guided."""
    values = {
        "id": id,
        "key": "anybody",
        "user": user,
        "dimension": "kind",
        "prompt": [{"role": "user", "content": f"say {id}"}],
        "a": Answer(f"yes {id}", {"kind": 0.3}, {"kind": 3}, 7),
        "b": Answer(f"no {id}", {}, {}, 8),
        "guided": "a",
        "sampling": {"temperature": 1.0},
        "base": "toy",
        "consent": True,
        "created": NOW,
        "expires": NOW + HOUR,
    }
    return Comparison(**values | more)  # type: ignore[arg-type]


@dataclass
class Desk:
    """A store with a clock, at which people vote."""

    root: Path
    config: FeedbackConfig = field(default_factory=lambda: FeedbackConfig(store="f.db", max_share=1))
    now: float = NOW

    def __post_init__(self) -> None:
        self.store = Store(self.config, self.root, clock=lambda: self.now)

    def vote(
        self, id: str, user: str = "u", choice: Choice = "a", seconds: float = 60, **more: object
    ) -> Comparison:
        """Ask at the time of the clock, which then goes on, and vote."""
        asked = compared(id, user, **{"created": self.now, "expires": self.now + HOUR} | more)
        self.store.ask(asked)
        self.now += seconds
        return self.store.vote(id, asked.key, user, choice, "")
