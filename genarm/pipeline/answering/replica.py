"""One guided server: what it serves, asked for, and how long it has failed."""

import asyncio
import time

import httpx
from pydantic import BaseModel, ValidationError

from genarm.config.engine import EngineConfig
from genarm.decoding import GuidedRequest, GuidedResponse, TokenRewards
from genarm.errors import ModelError
from genarm.pipeline.answering.failures import Passing, checked, unanswered
from genarm.pipeline.answering.listing import Listing, NotServed, Served, Wanted, find
from genarm.system.api_key import api_key

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between tries of a server that does not say how long to wait
CONNECT = 10.0  # seconds


class _Token(BaseModel):
    id: int
    base: float
    guided: float
    arms: dict[str, float]


class _Choice(BaseModel):
    text: str
    finish_reason: str
    base_logprob: float
    kl: float
    guidance_rewards: list[_Token]


class _Told(BaseModel):
    versions: dict[str, int]


class _Completion(BaseModel):
    """The part of a completion that is read."""

    choices: list[_Choice]
    genarm: _Told


class Replica:
    """A server, used as `async with`; its requests may run side by side."""

    def __init__(self, url: str, config: EngineConfig, wanted: Wanted) -> None:
        self.url, self.wanted, self._config = url, wanted, config
        self.failure: Passing | None = None
        self._since, self._resumes, self._failures = 0.0, 0.0, 0  # of failures in a row
        self._served: Served | None = None
        self._examining = asyncio.Lock()

    async def __aenter__(self) -> "Replica":
        key = self._config.key
        headers = {"Authorization": f"Bearer {api_key(key, self.url)}"} if key else {}
        limits = httpx.Limits(max_connections=self._config.concurrency + 1)
        timeout = httpx.Timeout(self._config.timeout, connect=min(CONNECT, self._config.timeout))
        self._api = httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.aclose()

    @property
    def given_up(self) -> bool:
        """Whether it has failed for longer than `patience` allows, or will not have the ARM."""
        if self.failure is None:
            return False
        until = max(self._resumes, time.monotonic())
        return isinstance(self.failure, NotServed) or until - self._since > self._config.patience

    async def pause(self) -> None:
        """Wait as long as the last failure asks for."""
        await asyncio.sleep(max(0.0, self._resumes - time.monotonic()))

    def failed(self, failure: Passing) -> None:
        """Take note of a failure: it rests, and is examined again before it answers."""
        now = time.monotonic()
        if self.failure is None:
            self._since = now
        self.failure, self._served = failure, None
        if now >= self._resumes:  # else one of several that failed together
            self._failures += 1
            backoff = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self._failures - 1))
            self._resumes = now + (backoff if failure.after is None else failure.after)

    def recovered(self) -> None:
        """Forget failures: it does what is asked."""
        self._failures, self.failure = 0, None

    async def served(self) -> Served:
        """The model that is wanted. Raises what `find` and `checked` raise, and Passing."""
        async with self._examining:
            if self._served is None:
                self._served = find(await self.listing(), self.wanted, self.url)
            return self._served

    async def listing(self) -> Listing:
        """What the server says that it serves."""
        try:
            answer = await self._api.get(f"{self.url}/arms", timeout=min(CONNECT, self._config.timeout))
        except httpx.HTTPError as error:
            raise unanswered(error) from None
        try:
            return Listing.model_validate_json(checked(answer, self.url, self._config.key).content)
        except ValidationError:
            raise Passing("what is at /arms is no list of a guided server") from None

    async def answer(self, request: GuidedRequest) -> GuidedResponse:
        """The response to a request. Raises Passing, and what `checked` and `find` raise.

        Raises ModelError where other versions have answered than those that the server lists.
        """
        served = await self.served()
        try:
            async with asyncio.timeout(
                self._config.timeout
            ):  # the client's own is of each piece that arrives
                answer = await self._api.post(f"{self.url}/completions", json=self._body(served, request))
        except httpx.HTTPError as error:
            raise unanswered(error) from None
        except TimeoutError:
            raise Passing(f"no answer within {self._config.timeout:g} s", of_request=True) from None
        if answer.status_code == 404:  # the version was replaced since it was listed
            raise Passing(f"it serves {served.model} no more")
        try:
            found = _Completion.model_validate_json(checked(answer, self.url, self._config.key).content)
            [choice] = found.choices
        except ValueError:  # of pydantic too
            raise Passing("what came is no completion of a guided server", of_request=True) from None
        versions = dict(served.versions) if self.wanted.weight else {}
        if found.genarm.versions != versions:
            raise ModelError(
                f"{self.url} answered with {found.genarm.versions}, not {versions}",
                hint="give each address one server: behind a balancer all must serve the same versions",
            )
        self.recovered()
        return _response(choice, request.return_rewards)

    def _body(self, served: Served, request: GuidedRequest) -> dict[str, object]:
        """A request as the API spells it; prompts are token ids, so no template of the server has a say."""
        wanted = self.wanted
        return {
            "model": served.model,
            "prompt": list(request.prompt),
            "temperature": request.temperature,
            "top_k": request.top_k,
            "top_p": request.top_p,
            "max_tokens": request.max_new_tokens,
            "stop": list(request.stop),
            "seed": request.seed - 2**64 if request.seed >= 2**63 else request.seed,
            "guidance": {wanted.dimension: wanted.weight} if wanted.dimension else None,
            "guidance_rewards": True,
        }


def _response(choice: _Choice, rewards: bool) -> GuidedResponse:
    tokens = choice.guidance_rewards
    return GuidedResponse(
        tokens=tuple(token.id for token in tokens),
        text=choice.text,
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        base_logprob=choice.base_logprob,
        kl=choice.kl,
        rewards=tuple(TokenRewards(t.base, t.guided, t.arms) for t in tokens) if rewards else (),
    )
