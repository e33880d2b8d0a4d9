"""What vLLM's own `/metrics` tells beside vLLM's metrics, under the names that the built-in engine has."""

from collections.abc import Mapping
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from genarm.serve.metrics import NATS


class VllmMetrics:
    """The counters of one server. How a response ended, and its tokens, are counted by vLLM.

    The KL is known of responses that tell rewards.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter("genarm_responses", "Responses drawn.", ["guided"], registry=registry)
        self.kl = Histogram(
            "genarm_kl_nats", "KL(guided || base) a token of guided responses, in nats.",
            buckets=NATS, registry=registry,
        )  # fmt: skip
        self.version = Gauge("genarm_arm_version", "The version served.", ["dimension"], registry=registry)
        self.swaps = Counter("genarm_swaps", "New champions met.", ["outcome"], registry=registry)

    def serves(self, versions: Mapping[str, int]) -> None:
        """From now on these answer to `guided`."""
        self.version.clear()
        for dimension, version in versions.items():
            self.version.labels(dimension).set(version)


@cache
def vllm_metrics() -> VllmMetrics:
    """Those of this process, in the registry that vLLM shows; a name can be there but once."""
    return VllmMetrics(REGISTRY)
