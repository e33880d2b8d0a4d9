"""Best of n: the same request with n seeds, of whose responses the one with the largest score is kept.

Its distance from the sampling policy as a whole is bounded, KL <= log n - (n - 1) / n nats a response
(Beirami et al., arXiv 2401.01879). A response's own `kl` is that of the policy that drew it, such as 0 for
the base: what choosing among whole responses does to the distribution of a token cannot be written down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from genarm.baselines.counting import Meter, together
from genarm.baselines.method import Method
from genarm.baselines.seeds import candidate_seed
from genarm.baselines.selection import Candidate, Selector
from genarm.baselines.whole_session import WholeSession
from genarm.decoding import GuidedRequest, GuidedResponse
from genarm.decoding.request import check_request, check_requests
from genarm.errors import ConfigError, RequestError
from genarm.types import Message, Prompt


class BestOfN:
    """The best of `n` responses of `policy`, which may be any method, by `selector`.

    Where the policy is our decoder, the prompt is read once for all n. Of candidates with equal scores the
    first is kept; with n = 1 the response is the request's own, and nothing is scored. Raises ConfigError
    for n below 1.
    """

    def __init__(self, policy: Method, selector: Selector, n: int) -> None:
        if n < 1:
            raise ConfigError(f"best_of_n has n = {n}", hint="draw at least one response")
        self.policy, self.selector, self.n = policy, selector, n
        self._drawing = Meter(lambda: policy.passes)
        self._choosing = Meter(lambda: selector.passes)
        self._conversations: dict[tuple[int, ...], Prompt] = {}

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens read for drawing and for choosing, by part."""
        return together(self._drawing.read, self._choosing.read)

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return self.policy.context

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a message or a conversation, which is remembered: a judge reads it as text."""
        ids = self.policy.prompt(text)
        messages = (Message("user", text),) if isinstance(text, str) else tuple(text)
        self._conversations[ids] = Prompt(messages)
        return ids

    def session(self) -> WholeSession:
        """A new session; a stream gives all its pieces at the end, as the best is known only then."""
        checking = self.policy.session()
        return WholeSession(self.generate, lambda request: checking.submit(request).cancel())

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """The best response of each request; `on_tokens` hears of every token drawn.

        Raises RequestError before any work, JudgeError where a score is no number.
        """
        return [candidates[best].response for candidates, best in self.ranked(requests, on_tokens)]

    def ranked(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[tuple[list[Candidate], int]]:
        """All candidates of each request in the order of their seeds, and which of them is the best."""
        check_requests(requests)
        checking = self.policy.session()
        for number, request in enumerate(requests):
            check_request(request, f"request {number}")
            checking.submit(request).cancel()  # its errors name the request by its place among these
        asked = [one for request in requests for one in self.asked(request)]
        with self._drawing.running():
            drawn = self.policy.generate(asked, on_tokens)
        candidates = [
            Candidate(request, answer, i % self.n)
            for i, (request, answer) in enumerate(zip(asked, drawn, strict=True))
        ]
        scores = [0.0] * len(candidates)
        if self.n > 1 and candidates:
            with self._choosing.running():
                scores = self.selector.scores(candidates, self._conversation)
        groups = []
        for first in range(0, len(candidates), self.n):
            ours = range(self.n)
            groups.append((candidates[first : first + self.n], max(ours, key=lambda k: scores[first + k])))
        return groups

    def asked(self, request: GuidedRequest) -> list[GuidedRequest]:
        """The n requests whose responses are chosen from."""
        return [replace(request, seed=candidate_seed(request.seed, number)) for number in range(self.n)]

    def choose(self, asked: Sequence[GuidedRequest], drawn: Sequence[GuidedResponse]) -> int:
        """Which of the n responses is the best, where somebody else has drawn them.

        Raises JudgeError where a score is no number.
        """
        candidates = [Candidate(r, answer, i) for i, (r, answer) in enumerate(zip(asked, drawn, strict=True))]
        with self._choosing.running():
            scores = self.selector.scores(candidates, self._conversation)
        return max(range(len(candidates)), key=lambda i: scores[i])

    def _conversation(self, ids: tuple[int, ...]) -> Prompt:
        """The messages that this prompt was made of. Raises RequestError where it was made elsewhere."""
        try:
            return self._conversations[ids]
        except KeyError:
            raise RequestError(
                f"the prompt of {len(ids)} tokens was not made by this method, whose judge reads text",
                hint="make it by prompt(messages) of this method",
            ) from None
