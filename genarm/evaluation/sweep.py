"""Prompts answered at several strengths at once: no weight, one weight after another, mixtures of ARMs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genarm.config import SamplingConfig
from genarm.decoding import GuidedDecoder
from genarm.evaluation.respond import prompt_ids, prompt_seed, request, response_of
from genarm.types import Guidance, Prompt, Response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Setting:
    """How the prompts are answered: the weight of each ARM (none is the base alone) and the temperature."""

    temperature: float
    weights: Mapping[str, float] = field(default_factory=dict)


def sweep(
    prompts: Sequence[Prompt],
    decoder: GuidedDecoder,
    tokenizer: "PreTrainedTokenizerBase",
    settings: Sequence[Setting],
    sampling: SamplingConfig,
    guidance: Guidance | Mapping[str, Guidance] = "sum",
    on_tokens: Callable[[int], None] | None = None,
) -> list[list[Response]]:
    """The responses by setting, each in the order of the prompts; `sampling` says all but the temperature.

    All settings of a prompt stand beside each other in one queue, so that the decoder reads the prompt once
    for them all. They draw the same random numbers, as the sides of a decision do. Raises RequestError for a
    prompt that leaves no room for a response.
    """
    requests = []
    for prompt in prompts:
        ids, seed = prompt_ids(prompt, decoder, sampling), prompt_seed(sampling.seed, prompt)
        for setting in settings:
            asked = request(ids, setting.weights, sampling, seed, guidance)
            requests.append(replace(asked, temperature=setting.temperature))
    answers = decoder.generate(requests, on_tokens)
    return [
        [response_of(p, a, tokenizer) for p, a in zip(prompts, answers[i :: len(settings)], strict=True)]
        for i in range(len(settings))
    ]
