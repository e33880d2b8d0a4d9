"""A language model as a judge: every comparison in both orders, all of them asked for together."""

import logging
from collections.abc import Sequence
from pathlib import Path

from genarm.config.judge import LlmJudgeConfig
from genarm.judges.base import Comparison
from genarm.judges.llm.access import Access, access
from genarm.judges.llm.ask import Asker, run, short_name
from genarm.judges.llm.client import Client, without_retry_log
from genarm.judges.llm.prompt import Question, load_question
from genarm.judges.llm.settle import Settled, settle
from genarm.judges.llm.verdict import Form, Reply, preference_for_a
from genarm.judges.statistics import Games, JudgeStatistics, Usage
from genarm.system.layout import Layout
from genarm.system.progress import ProgressDisplay
from genarm.system.verbosity import Verbosity, verbosity
from genarm.types import Prompt, Response

log = logging.getLogger(__name__)
_EXCERPT = 80  # characters of an answer
_READ_BY = {"logprobs": "log-probabilities", "text": "the text"}


class LlmJudge:
    """Compares two responses by asking a model which is better, once in each order.

    The preference is the mean of both orders, 0 where they contradict each other, None where one cannot be
    read. Two equal responses are a tie, and nobody is asked.
    """

    def __init__(self, config: LlmJudgeConfig, question: Question, access: Access, file: Path | None) -> None:
        self._config, self._question, self._access = config, question, access
        with without_retry_log():
            self.settled = run(_settle(config, question, access))
        self._asker = Asker(config, access, self.settled, file)
        self._games: dict[tuple[str, str, str], Games] = {}
        self._unread: str | None = None  # what the first answer said that could not be read

    @property
    def identity(self) -> str:
        """The model as its server reports it, where it is served, and how its verdicts are read."""
        settled = self.settled
        version = f" ({settled.fingerprint})" if settled.fingerprint else ""
        return (
            f"{settled.model}{version} at {self._access.host}, read from {_READ_BY[settled.form]}, "
            f"asked by {self._question.name} {self._question.digest}"
        )

    @property
    def usage(self) -> Usage:
        """What was asked so far, and what it cost."""
        return self._asker.usage

    @property
    def statistics(self) -> JudgeStatistics:
        """What is known of it from the comparisons so far; those of equal responses are left out."""
        return JudgeStatistics.of(list(self._games.values()), self._unread)

    def prepare(self, comparisons: Sequence[Comparison]) -> None:
        """Ask for all comparisons that are not known yet; says what it cost, and what speaks against it."""
        asked = {
            _id(prompt, left, right): self._both_orders(prompt, left, right)
            for prompt, left, right in comparisons
            if left.text != right.text and _id(prompt, left, right) not in self._games
        }
        if not asked:
            return
        with without_retry_log():
            replies = run(self._asker.ask([text for texts in asked.values() for text in texts]))
        for key, (first, second) in asked.items():
            a = preference_for_a(replies[first], self.settled.form)
            b = preference_for_a(replies[second], self.settled.form)
            self._games[key] = Games(a, None if b is None else -b)
            for said, text in ((a, first), (b, second)):
                if said is None and self._unread is None:
                    self._unread = excerpt(replies[text], self.settled.form, self._access)
        if len(comparisons) > 1:
            self._tell()

    def compare(self, prompt: Prompt, left: Response, right: Response) -> float | None:
        """The preference for `left` in [-1, 1]; None where an order cannot be read. Raises JudgeError."""
        if left.text == right.text:
            return 0.0
        self.prepare([(prompt, left, right)])
        return self._games[_id(prompt, left, right)].preference

    def games(self, prompt: Prompt, left: Response, right: Response) -> Games:
        """What both orders said. Raises JudgeError."""
        if left.text == right.text:
            return Games(0.0, 0.0)
        self.prepare([(prompt, left, right)])
        return self._games[_id(prompt, left, right)]

    def _both_orders(self, prompt: Prompt, left: Response, right: Response) -> tuple[str, str]:
        ask = self._question.text
        return ask(prompt, left.text, right.text), ask(prompt, right.text, left.text)

    def _tell(self) -> None:
        if verbosity() is not Verbosity.QUIET:
            ProgressDisplay(f"judge {short_name(self._config.model)}").say(str(self.usage))
        for complaint in self.statistics.complaints:
            log.warning("judge %s: %s", short_name(self._config.model), complaint)


def excerpt(reply: Reply, form: Form, access: Access) -> str:
    """What an answer says that could not be read, shortened to a line, without the key and other secrets."""
    if form == "logprobs" and reply.tops:
        tokens = ", ".join(repr(access.shown(token, _EXCERPT)) for token, _ in reply.tops)
        return f"one of the tokens {access.shown(tokens)}"
    said = access.shown(reply.text, _EXCERPT)
    return repr(said) if said else "empty: a filter refused the texts, or max_tokens was used up before it"


def load_llm_judge(config: LlmJudgeConfig, root: Path | None = None) -> LlmJudge:
    """The judge of one dimension, its model asked once. Raises JudgeError where it cannot judge."""
    file = Layout(root).judge_replies if root else None
    return LlmJudge(config, load_question(config, root), access(config), file)


async def _settle(config: LlmJudgeConfig, question: Question, access: Access) -> Settled:
    async with Client(config, access) as client:
        return await settle(client, config, question)


def _id(prompt: Prompt, left: Response, right: Response) -> tuple[str, str, str]:
    return prompt.id, left.text, right.text
