"""A decoder of ARMs and of best-of-n beside them, behind one set of weights: what the registry holds, served.

A name whose folder is best of n is no ARM: at weight 1 the best of n responses is taken, at 0 it is left out.
The ARMs that have weights beside it guide every one of the n.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.baselines.best_of_folder import BestOf, best_of, scorer_of
from genarm.errors import AdapterError, RequestError
from genarm.models import ModelSource

if TYPE_CHECKING:
    from genarm.baselines.best_of_n import BestOfN
    from genarm.baselines.whole_session import WholeSession
    from genarm.decoding import GuidedDecoder, GuidedRequest, GuidedResponse
    from genarm.decoding.engine.engine import Engine
    from genarm.decoding.protocol import Session, Stream
    from genarm.types import Message, Prompt

LEAST = 1e-4  # of one and the largest score; rounding alone lets equal scores differ by a tenth of it


def load_served(
    source: ModelSource,
    folders: Mapping[str, Path],
    *,
    dtype: str,
    contrast: bool = False,
    **options: Any,
) -> "GuidedDecoder":
    """The decoder of a base and of versions' folders of any kind, by name; `options` are of `load_decoder`.

    Raises what `load_decoder` raises, and TokenizerMismatch or JudgeError for a reward model that does not
    fit the base.
    """
    from genarm.decoding import load_decoder

    found = {name: what for name, folder in folders.items() if (what := best_of(folder))}
    if not found:
        return load_decoder(source, folders, dtype=dtype, contrast=contrast, **options)
    from genarm.baselines.best_of_n import BestOfN
    from genarm.baselines.reward_model import RewardFolder, find_reward_model
    from genarm.baselines.selection import ByCachedReward, ByLikelihood, Selector
    from genarm.models import load_tokenizer

    with ExitStack() as stack:
        scorers = {name: stack.enter_context(scorer_of(folders[name])) for name in found}
        arms = {name: scorers.get(name, folder) for name, folder in folders.items()}
        arms = {name: folder for name, folder in arms.items() if not _rewards(found.get(name))}
        tokenizer = load_tokenizer(source)
        rewards = {
            name: find_reward_model(
                RewardFolder(scorers[name], close_turn=True),  # responses are whole
                base=source,
                tokenizer=tokenizer,
            )
            for name, what in found.items()
            if _rewards(what)
        }
        contrast |= any(what.by == "implicit" for what in found.values())
        engine = load_decoder(source, arms, dtype=dtype, contrast=contrast, **options)
        loaded = {name: replace(of.load(dtype), name=f"of {name!r}") for name, of in rewards.items()}
    choosers = {}
    for name, what in found.items():
        selector: Selector
        if name in loaded:
            selector = ByCachedReward(loaded[name], engine.stop_criteria.end_tokens.tolist())
        else:
            selector = ByLikelihood(engine, name, "implicit" if what.by == "implicit" else "arm")
        choosers[name] = BestOfN(engine, selector, what.n)
    return Choosing(engine, choosers)


def _unread(ids: tuple[int, ...]) -> "Prompt":
    raise AssertionError("reward models and ARMs read tokens, and no conversation")


def _rewards(what: BestOf | None) -> bool:
    return what is not None and what.by == "reward"


class Choosing:
    """The decoder `engine`, and by name those that choose among its responses."""

    def __init__(self, engine: "Engine", choosers: "Mapping[str, BestOfN]") -> None:
        self.engine, self.choosers = engine, choosers

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return self.engine.context

    def prompt(self, text: "str | Sequence[Message]") -> tuple[int, ...]:
        """Token ids of a message or a conversation, as of every decoder."""
        return self.engine.prompt(text)

    def session(self) -> "ChoosingSession":
        """A new session; a request that is chosen for gets all its pieces at the end."""
        return ChoosingSession(self)

    def generate(
        self, requests: "Sequence[GuidedRequest]", on_tokens: Callable[[int], None] | None = None
    ) -> "list[GuidedResponse]":
        """Responses in the order of the requests; `on_tokens` hears of every token drawn.

        Raises RequestError before any work, JudgeError for a score that is no number.
        """
        from genarm.decoding.request import check_requests

        check_requests(requests)
        checking = self.engine.session()
        parted = [self.parted(request, f"request {i}") for i, request in enumerate(requests)]
        for _, asked in parted:
            checking.submit(asked).cancel()  # its errors name the request by its place among these
        answers: dict[int, GuidedResponse] = {}
        for name in dict.fromkeys(name for name, _ in parted):
            ours = [i for i, (of, _) in enumerate(parted) if of == name]
            by = self.engine if name is None else self.choosers[name]
            found = by.generate([parted[i][1] for i in ours], on_tokens)
            answers |= zip(ours, found, strict=True)
        return [answers[i] for i in range(len(requests))]

    def parted(
        self, request: "GuidedRequest", which: str = "the request"
    ) -> "tuple[str | None, GuidedRequest]":
        """Who chooses for a request, None where nobody does, and what is asked of the engine.

        Raises RequestError for two that choose, and for a weight that is neither 0 nor 1.
        """
        from genarm.decoding.request import check_request

        check_request(request, which)
        for name, chooser in self.choosers.items():
            if (weight := request.weights.get(name, 0)) not in (0, 1):
                raise RequestError(
                    f"{which} gives {name!r} the weight {weight:g}, and the best of {chooser.n} has no "
                    "strength",
                    hint=f"1 takes the best of {chooser.n}, 0 leaves it out",
                )
        used = [name for name in self.choosers if request.weights.get(name)]
        if len(used) > 1:
            raise RequestError(
                f"{which} has both {used[0]!r} and {used[1]!r}, each of which chooses among whole responses",
                hint="give one of them a weight",
            )
        weights = {name: w for name, w in request.weights.items() if name not in self.choosers}
        guidance = request.guidance
        if not isinstance(guidance, str):
            guidance = {name: by for name, by in guidance.items() if name not in self.choosers}
        return used[0] if used else None, replace(request, weights=weights, guidance=guidance)

    def check_chooses(self, request: "GuidedRequest") -> None:
        """Answer a request, and raise AdapterError where it was chosen from responses of equal scores."""
        name, asked = self.parted(request)
        assert name is not None, "nobody chooses for this request"
        chooser = self.choosers[name]
        [(candidates, best)] = chooser.ranked([asked])
        scores = chooser.selector.scores(candidates, _unread)
        several = len({c.response.tokens for c in candidates}) > 1
        spread = max(scores) - min(scores)
        if not candidates[best].response.tokens or (
            several and spread <= LEAST * (1 + max(map(abs, scores)))
        ):
            raise AdapterError(
                f"{name!r} loads but does not choose: {len(candidates)} responses have the scores {scores}",
                hint="train what chooses again; a model of zeros prefers nothing",
            )


class ChoosingSession:
    """A session of the engine, and one of each that chooses."""

    def __init__(self, of: Choosing) -> None:
        self._of = of
        self._plain: Session = of.engine.session()
        self._choosing: dict[str, WholeSession] = {n: c.session() for n, c in of.choosers.items()}

    def submit(self, request: "GuidedRequest") -> "Stream":
        """Queue a request. Raises RequestError for one that could not be served."""
        name, asked = self._of.parted(request)
        return self._plain.submit(asked) if name is None else self._choosing[name].submit(asked)
