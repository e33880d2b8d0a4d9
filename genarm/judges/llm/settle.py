"""Who answers, and how verdicts are read: found out once, with the first requests."""

from dataclasses import dataclass

from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.llm.client import Client
from genarm.judges.llm.failures import Declined
from genarm.judges.llm.prompt import Question
from genarm.judges.llm.verdict import Form, Reply, has_labels
from genarm.types import Message, Prompt

_PROMPT = Prompt((Message("user", "How are you?"),))
_ANSWERS = ("I am well, thank you for asking! How are you today?", "Fine.")


@dataclass(frozen=True, slots=True)
class Settled:
    """The model as its server reports it, and the form in which its verdicts are read."""

    model: str
    fingerprint: str | None
    form: Form

    def is_of(self, reply: Reply) -> bool:
        """Whether the same model gave a reply; its server may have changed all the same."""
        return reply.model == self.model


async def settle(client: Client, config: LlmJudgeConfig, question: Question) -> Settled:
    """Ask for a trial comparison, by log-probabilities where wanted and possible, else by text.

    Raises JudgeError where log-probabilities are wanted and not given, and as `Client.ask` does.
    """
    text = question.text(_PROMPT, *_ANSWERS)
    if config.verdict != "text":
        try:
            reply = await client.ask(text, "logprobs")
        except Declined:
            if config.verdict == "logprobs":
                raise
        else:
            if config.verdict == "logprobs" and reply.tops is None:
                raise JudgeError(
                    f"model {config.model!r} gives no log-probabilities of its first token",
                    hint="set `verdict: text`, or `auto`",
                )
            if config.verdict == "logprobs" or has_labels(reply):
                return Settled(reply.model, reply.fingerprint, "logprobs")
    reply = await client.ask(text, "text")
    return Settled(reply.model, reply.fingerprint, "text")
