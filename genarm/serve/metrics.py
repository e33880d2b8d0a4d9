"""What Prometheus reads at `/metrics`."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
NATS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter("genarm_requests", "Requests that ended.", ["path", "status"], registry=r)
        self.answers = Counter("genarm_responses", "Responses drawn.", ["guided", "reason"], registry=r)
        self.tokens = Counter("genarm_tokens", "Tokens read and drawn.", ["kind"], registry=r)
        self.first = Histogram(
            "genarm_time_to_first_token_seconds", "From the request to its first token.",
            buckets=SECONDS, registry=r,
        )  # fmt: skip
        self.seconds = Histogram(
            "genarm_request_seconds", "From the request to its end.", buckets=SECONDS, registry=r
        )
        self.kl = Histogram(
            "genarm_kl_nats", "KL(guided || base) a token of guided responses, in nats.",
            buckets=NATS, registry=r,
        )  # fmt: skip
        self.open = Gauge("genarm_open_responses", "Responses that are decoded or wait.", registry=r)
        self.waiting = Gauge("genarm_waiting_responses", "Of these, the ones without a slot.", registry=r)
        self.version = Gauge("genarm_arm_version", "The version served.", ["dimension"], registry=r)
        self.swaps = Counter("genarm_swaps", "New champions met.", ["outcome"], registry=r)

        self.trial_responses = Counter(
            "genarm_canary_responses", "Responses of a trial, by the side that answered.", ["side", "end"],
            registry=r,
        )  # fmt: skip
        self.trial_seconds = Histogram(
            "genarm_canary_seconds", "From the request to its end, by side.", ["side"],
            buckets=SECONDS, registry=r,
        )  # fmt: skip
        self.trial_kl = Histogram(
            "genarm_canary_kl_nats", "KL(guided || base) a token, by side.", ["side"],
            buckets=NATS, registry=r,
        )  # fmt: skip
        self.pairs = Counter(
            "genarm_canary_pairs", "Prompts that both sides were to answer.", ["outcome"], registry=r
        )

    def watch(self, opened: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Read these two at every scrape."""
        self.open.set_function(opened)
        self.waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self.registry)
