"""A sampler that tells the rewards of what it draws."""

from typing import Any

from genarm.vllm.readings import Readings


class TellingSampler:
    """The sampler of either of vLLM's runners, whose output tells the rewards as well."""

    def __init__(self, sampler: Any, readings: Readings) -> None:
        self.sampler, self.readings = sampler, readings

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        """What the sampler says, with the numbers of this step's tokens."""
        output = self.sampler(*inputs, **more)
        asked, self.readings.asked = self.readings.asked, None
        if asked is not None and output.logprobs_tensors is not None:
            output.logprobs_tensors = asked.told(output.sampled_token_ids[:, 0], output.logprobs_tensors)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)
