"""A real server on loopback in a thread of the test's process, and what is asked of it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from genarm.config import CanaryConfig
from genarm.decoding import GuidedRequest
from genarm.serve.canary import RunningTrial
from genarm.serve.run import Server, listening
from genarm.serve.service import Service
from genarm.types import Message, Responses

ASKED = {"model": "guided", "max_tokens": 12, "temperature": 1, "seed": 5}
HELLO = [{"role": "user", "content": "hello"}]


def own(lineup, text="hello", weights=None, **asked):
    """The decoder's own answer."""
    weights = {"kind": 0.8, "curt": 0.4} if weights is None else weights
    prompt = lineup.decoder.prompt([Message("user", text)])
    guidance = {
        d: lineup.arms[d].champion.guidance for d, weight in weights.items() if weight and d in lineup.arms
    }
    options = {"max_new_tokens": 12, "seed": 5, "return_rewards": True, "guidance": guidance} | asked
    return lineup.decoder.generate([GuidedRequest(prompt, weights, **options)])[0]


def streamed(client, body, path="/v1/chat/completions"):
    """The chunks of a stream, which must end as OpenAI's do."""
    with client.stream("POST", path, json=body | {"stream": True}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def trial_of(both, folder: Path, service: Service | None = None, **rule) -> RunningTrial:
    """A trial of `kind` in a service, or in one of its own."""
    lineup, trial = both
    means = (service or Service(lineup)).means
    config = CanaryConfig(dimension="kind", **({"judged": 0.0, "max_kl": 100} | rule))
    return RunningTrial(trial, config, lineup, means, folder / "spool", Responses())


@contextmanager
def running(service: Service) -> Iterator[str]:
    """The address of a service while it runs."""
    listener = listening("127.0.0.1", 0)
    server = Server(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wait(lambda: server.started)
        yield address
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def wait(until: Callable[[], bool], seconds: int = 60) -> None:
    """Wait for something that must come; an hour would be as good."""
    for _ in range(100 * seconds):
        if until():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def promoted(store, folder, number=None):
    """The number of a version of `kind` that is the champion from now on."""
    number = number or store.register("kind", folder, metrics={}, curves=[], lineage={})
    store.client.set_registered_model_alias("genarm-kind", "champion", str(number))
    return number
