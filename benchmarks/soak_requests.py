"""What the soak asks, kind by kind, and what the decoder answers when it is asked alone."""

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from toy_server import DEFAULTS, ToyProject
from transformers import PreTrainedTokenizerBase

from genarm.decoding import GuidedRequest
from genarm.serve.ask import asker
from genarm.serve.body import ChatBody, CompletionBody
from genarm.serve.compare_body import CompareBody

CHAT, TEXT, COMPARE = "/v1/chat/completions", "/v1/completions", "/v1/comparisons"
TELLS = {"guidance_rewards": True}  # token ids, which tell more than text that is noise
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": (CHAT, {"model": "base", "stream": True, **TELLS}),
    "guided": (CHAT, {"model": "guided", "stream": True, **TELLS}),
    "other weights": (CHAT, {"model": "guided", "guidance": {"kind": 0.3}, "stream": True, **TELLS}),
    "n of 3": (CHAT, {"model": "guided", "n": 3, "guidance": {"kind": 0.5, "curt": 1.5}, **TELLS}),
    "logprobs": (CHAT, {"model": "guided", "stream": True, "logprobs": True, "top_logprobs": 5, **TELLS}),
    "whole, one ARM": (CHAT, {"model": "guided:curt@1", "top_p": 0.9}),
    "two prompts of ids": (TEXT, {"model": "guided", "logprobs": 2, **TELLS}),
    "cancelled": (CHAT, {"model": "guided", "n": 2, "stream": True, "max_tokens": 400, "ignore_eos": True}),
    "comparison": (COMPARE, {"dimension": "kind", "user": "soak", "consent": True}),
}
CANCELLED, COMPARISON = "cancelled", "comparison"
SEEDS = 12  # different requests of a kind; after them the same ones come again


@dataclass
class Told:
    """One response as a client has it; ids where they were told, and 0 of them otherwise."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    end: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What the decoder answers to a request alone."""

    request: GuidedRequest
    told: Told

    def equals(self, got: Told, *, left: bool = False) -> bool:
        """Whether a client has got it, or its beginning where the stream was `left`."""
        if left:
            return self.told.text.startswith(got.text)
        return (got.text, got.end) == (self.told.text, self.told.end) and got.ids in ([], self.told.ids)


@dataclass(frozen=True)
class Answer:
    """What a request got: its responses, and the versions that gave them."""

    versions: Mapping[str, int]
    told: list[Told]


def asked(kind: str, seed: int) -> tuple[str, dict[str, Any]]:
    """The address and the body of a request."""
    path, body = KINDS[kind]
    body = body | {"max_tokens": body.get("max_tokens", 8 + seed)}
    if path == COMPARE:
        return path, body | {"prompt": f"say {seed}", "against": ("without", "base", 0.2)[seed % 3]}
    if path == TEXT:
        return path, body | {"prompt": [[65 + seed, 66], [67, 68, seed]], "seed": seed}
    return path, body | {"messages": [{"role": "user", "content": f"number {seed}"}], "seed": seed}


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A whole answer. Raises httpx.HTTPError for any other status than 200."""
    answer = client.post(path, json=body)
    answer.raise_for_status()
    got: dict[str, Any] = answer.json()
    return got


def whole(got: dict[str, Any]) -> Answer:
    """The responses of an answer that was not streamed."""
    told = [
        Told(c["text"] if "text" in c else c["message"]["content"], _ids(c), c["finish_reason"])
        for c in got["choices"]
    ]
    return Answer(got["genarm"]["versions"], told)


def streamed(client: httpx.Client, path: str, body: dict[str, Any], most: int | None = None) -> Answer:
    """The responses of a stream, which is left after `most` chunks, where that is given.

    Raises ValueError for a stream that ends with an error or without its last line.
    """
    versions: Mapping[str, int] = {}
    told = [Told() for _ in range(body.get("n", 1))]
    with client.stream("POST", path, json=body) as stream:
        stream.raise_for_status()
        for count, chunk in enumerate(_events(stream)):
            versions = chunk.get("genarm", {}).get("versions", versions)
            for choice in chunk["choices"]:
                one = told[choice["index"]]
                one.text += choice["delta"].get("content") or ""
                one.ids += _ids(choice)
                one.end = choice["finish_reason"]
            if count == most:
                break
    return Answer(versions, told)


def _events(stream: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in stream.iter_lines():
        if line == "data: [DONE]":
            return
        if line:
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                raise ValueError(line)
            yield chunk
    raise ValueError("the stream ended without [DONE]")


def _ids(choice: dict[str, Any]) -> list[int]:
    return [reward["id"] for reward in choice.get("guidance_rewards", ())]


class Expected:
    """The decoder's own answers, each request alone, by the version of `kind` that was in use."""

    def __init__(self, project: ToyProject) -> None:
        self._lineups = {number: project.lineup(number) for number in (1, 2)}
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int, int], list[Wanted]] = {}

    def of(self, kind: str, seed: int, versions: Mapping[str, int]) -> list[Wanted]:
        """What a request of a kind must get, where these versions answer."""
        number = versions.get("kind", 1)
        with self._lock:
            if (kind, seed, number) not in self._known:
                path, values = asked(kind, seed)
                body = (CompletionBody if path == TEXT else ChatBody).model_validate(values)
                self._known[kind, seed, number] = self._drawn(body, number)
            return self._known[kind, seed, number]

    def side(self, body: dict[str, Any], told: dict[str, Any]) -> Wanted:
        """What one side of a comparison must be, by what was told of it after the vote."""
        chat = CompareBody.model_validate(body).chat(told["weights"], told["seed"])
        with self._lock:
            return self._drawn(chat, told["versions"].get("kind", 1))[0]

    def _drawn(self, body: ChatBody | CompletionBody, number: int) -> list[Wanted]:
        lineup = self._lineups[number]
        requests = asker(body, lineup.guide(body.model, body.guidance), body.seed or 0, DEFAULTS)(
            lineup.decoder
        )
        alone = [lineup.decoder.generate([request])[0] for request in requests]
        told = [Told(r.text, list(r.tokens), r.finish_reason) for r in alone]
        return [Wanted(request, one) for request, one in zip(requests, told, strict=True)]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """That of the toys."""
        return self._lineups[1].decoder.tokenizer
