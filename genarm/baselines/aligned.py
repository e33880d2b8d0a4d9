"""A model that was aligned by training, answering alone: what DPO, SimPO, RLOO or a soup gives.

An adapter is served on the base's own weights, with no copy of them and nothing merged, as merging into
bfloat16 rounds small changes away: every row of the batch goes through the adapter, and none through the
base. How far it is from the base is measured afterwards, in one reading of the responses by both.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from genarm.baselines.counting import Meter
from genarm.baselines.guided import CountedStream
from genarm.baselines.reading import TokenReading, read_responses
from genarm.decoding import GuidedRequest, GuidedResponse, Piece, TokenRewards
from genarm.decoding.engine.engine import Engine
from genarm.decoding.engine.session import EngineSession
from genarm.decoding.request import check_request, check_requests
from genarm.decoding.runner.cuda_graph import StepRecorder
from genarm.decoding.runner.ensemble import Part
from genarm.decoding.runner.forward import ForwardPass, Inputs, RowPlan
from genarm.decoding.runner.kv_cache import KeyValues
from genarm.decoding.runner.lora_rows import RowAdapters
from genarm.decoding.runner.trunk import Trunk
from genarm.errors import ConfigError, RequestError
from genarm.types import Message


@dataclass(eq=False)
class AdaptedForward:
    """The layers of a model with one adapter in all rows, which are then the adapted model alone."""

    bare: ForwardPass
    adapter: int  # its index in the model's linear modules

    def __post_init__(self) -> None:
        self._rows: dict[int, RowAdapters] = {}  # kept: a recorded step reads what they hold

    @property
    def windows(self) -> Collection[int | None]:
        """How many tokens back its layers see, None for all."""
        return self.bare.windows

    @property
    def depth(self) -> int:
        """Number of layers at which rows may join."""
        return self.bare.depth

    @property
    def needs_mask(self) -> bool:
        """Whether attention needs a mask even where it would see the right keys by itself."""
        return self.bare.needs_mask

    def run(self, inputs: Inputs, plan: RowPlan, cache: KeyValues, head: slice | None) -> Tensor | None:
        """One pass of all rows, as `ForwardPass.run`."""
        rows = len(plan.owners)
        if rows not in self._rows:
            self._rows[rows] = RowAdapters(plan.owners.new_full((rows,), self.adapter), bare=0)
        return self.bare.run(inputs, _InAllRows(plan, self._rows[rows]), cache, head)


@dataclass(frozen=True)
class _InAllRows:
    """A plan of bare rows only, each of which has the adapter."""

    plan: RowPlan
    rows: RowAdapters

    @property
    def owners(self) -> Tensor:
        return self.plan.owners

    def span(self, layer: int) -> tuple[int, int]:
        return self.plan.span(layer)

    def row_adapters(self, layer: int) -> RowAdapters:
        return self.rows


def alone(engine: Engine, name: str) -> Engine:
    """An engine whose base is the ARM of this name: its adapter in every row, or its own model.

    It shares the weights with `engine`, whose tokenizer it keeps. Raises ConfigError for an unknown name.
    """
    part = next((part for part in engine.parts if name in part.arms), None)
    if part is None:
        raise ConfigError(
            f"the aligned model {name!r} is not loaded",
            hint=f"loaded beside the base: {', '.join(engine.arms) or 'none'}; load_decoder(base, "
            "{NAME: FOLDER}) loads an adapter or a full model",
        )
    trunk = replace(part.trunk, index={}, entry={}, reads=Counter(), recorder=_recorder(part.trunk))
    if (adapter := part.arms[name]) is not None:
        trunk = replace(trunk, forward_pass=AdaptedForward(trunk.forward_pass, part.trunk.index[adapter]))
    vocab = min(engine.vocab, trunk.vocab)
    return Engine([Part(replace(trunk, vocab=vocab), base=True)], engine.tokenizer, slots=engine.slots)


def _recorder(trunk: Trunk) -> StepRecorder:
    return StepRecorder(enabled=trunk.recorder.enabled)


class Aligned:
    """An adapter or full model, loaded as an ARM of `engine`, as the policy itself.

    With `measured`, log p_base and the KL from the base are read off the finished responses, which counts
    neither in `passes` nor in what answering takes; without it both are NaN, as where speed is timed.
    """

    def __init__(self, engine: Engine, name: str, *, measured: bool = True) -> None:
        self.engine, self.name, self.measured = engine, name, measured
        self._alone = alone(engine, name)
        self._meter = Meter(lambda: self._alone.passes, {"base": "aligned"})

    @property
    def passes(self) -> Mapping[str, int]:
        """Tokens that the aligned model read, as `aligned`."""
        return self._meter.read

    @property
    def context(self) -> int:
        """The most tokens that prompt and response may have together."""
        return self.engine.context if self.measured else self._alone.context

    def prompt(self, text: str | Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a message or a conversation, as the base's chat template renders it."""
        return self.engine.prompt(text)

    def session(self) -> "AlignedSession":
        """A new session, empty."""
        return AlignedSession(self, self._alone.session(), self._meter)

    def generate(
        self, requests: Sequence[GuidedRequest], on_tokens: Callable[[int], None] | None = None
    ) -> list[GuidedResponse]:
        """Responses in the order of the requests. Raises RequestError for one with weights."""
        check_requests(requests)
        for number, request in enumerate(requests):
            self.check(request, f"request {number}")
        with self._meter.running():
            answers = self._alone.generate(requests, on_tokens)
        return self.with_distance(requests, answers)

    def check(self, request: GuidedRequest, name: str) -> None:
        """Raise RequestError for a request that an aligned model does not serve."""
        check_request(request, name)
        if request.weights:
            raise RequestError(
                f"{name} has weights for {', '.join(request.weights)}, and {self.name!r} answers alone",
                hint="leave the weights out of the request",
            )
        if len(request.prompt) + request.max_new_tokens > self.context:
            self.engine.check(request, name)

    def with_distance(
        self, requests: Sequence[GuidedRequest], answers: Sequence[GuidedResponse]
    ) -> list[GuidedResponse]:
        """The responses with what the base thinks of them; NaN where that is not measured."""
        if not self.measured:
            return [replace(a, base_logprob=float("nan"), kl=float("nan"), rewards=()) for a in answers]
        drawn = [i for i, answer in enumerate(answers) if answer.tokens]
        readings = read_responses(
            self.engine,
            self.name,
            [requests[i].prompt for i in drawn],
            [answers[i].tokens for i in drawn],
            base=True,
        )
        done = list(answers)
        for i, reading in zip(drawn, readings, strict=True):
            done[i] = _measured(requests[i], answers[i], reading)
        return done


def _measured(request: GuidedRequest, answer: GuidedResponse, reading: TokenReading) -> GuidedResponse:
    base, kl = reading.base, reading.kl
    assert base is not None and kl is not None
    rewards: tuple[TokenRewards, ...] = ()
    if request.return_rewards:
        pairs = zip(base.tolist(), reading.arm.tolist(), strict=True)
        rewards = tuple(TokenRewards(of_base, guided, {}) for of_base, guided in pairs)
    return replace(answer, base_logprob=float(base.sum()), kl=float(kl.mean()), rewards=rewards)


class AlignedSession:
    """A session of the aligned model; the distance from the base is in the response, not in the pieces."""

    def __init__(self, method: Aligned, session: EngineSession, meter: Meter) -> None:
        self._method, self._session, self._meter = method, session, meter

    def submit(self, request: GuidedRequest) -> "AlignedStream":
        """Queue a request. Raises RequestError for one that could not be served."""
        self._method.check(request, "the request")
        if request.return_rewards:
            raise RequestError(
                "the request asks for rewards piece by piece, and the base reads the finished response",
                hint="leave return_rewards out, or use generate",
            )
        return AlignedStream(self._method, request, CountedStream(self._session.submit(request), self._meter))


class AlignedStream:
    """One request as the aligned model answers it."""

    def __init__(self, method: Aligned, request: GuidedRequest, stream: CountedStream) -> None:
        self._method, self._request, self._stream = method, request, stream

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._stream)

    def cancel(self) -> None:
        """Stop, and let a waiting request have the slot."""
        self._stream.cancel()

    def response(self) -> GuidedResponse:
        """Wait for the end. Raises ModelError where the scores of this request were not finite."""
        return self._method.with_distance([self._request], [self._stream.response()])[0]
