"""What guidance does to each token drawn, told by the one way out that vLLM has for numbers of a token.

A request with {"guidance.rewards": 1} among its `vllm_xargs` gets, as the first of its likeliest tokens,
numbers under ids that no token has: v for the base, v + 1 for the guided policy, v + 2 for the KL, then one
for each ARM of the engine. All are in nats, at temperature 1, before cuts.

    log p_base(y), log p_guided(y), KL(p_guided || p_base), log p_arm_1(y), ... log p_arm_n(y)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from vllm.v1.outputs import LogprobsTensors

if TYPE_CHECKING:
    from genarm.vllm.readings import Readings


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows [m] of a step that are told, with the log-probabilities of all tokens."""

    rows: Tensor  # [m]
    read: Tensor  # [m, 1 + n, v] of the base and its n ARMs
    guided: Tensor  # [m, v]
    kl: Tensor  # [m]

    @classmethod
    def of(cls, rows: Tensor, read: Tensor, guided: Tensor) -> "Asked":
        """From logits [rows, 1 + n, v] of base and ARMs and guided logits [rows, v] of a whole step."""
        logp, target = read[rows].float().log_softmax(-1), guided[rows].float().log_softmax(-1)
        chance = target.exp()
        kl = torch.where(chance > 0, chance * (target - logp[:, 0]), 0.0).sum(-1)
        return cls(rows, logp, target, kl)

    def of_drawn(self, drawn: Tensor) -> Tensor:
        """The numbers of the tokens that were drawn in all rows of the step; [m, 3 + n]."""
        token = drawn[self.rows].long()[:, None]
        read = self.read.gather(-1, token[:, None].expand(-1, self.read.shape[1], 1)).squeeze(-1)
        guided = self.guided.gather(-1, token)
        return torch.cat([read[:, :1], guided, self.kl[:, None], read[:, 1:]], dim=1)

    def told(self, drawn: Tensor, given: LogprobsTensors, first: int) -> LogprobsTensors:
        """The log-probabilities of a step, in whose rows [m] the numbers come before the likeliest tokens.

        `first` is the first id that is no token's. A request that asks for fewer likeliest tokens than there
        are numbers was refused where it came in.
        """
        values = self.of_drawn(drawn)
        count = values.shape[1]
        numbered = torch.arange(first, first + count, device=drawn.device).expand(len(self.rows), -1)
        return given._replace(
            logprob_token_ids=self._before(given.logprob_token_ids, numbered),
            logprobs=self._before(given.logprobs, values),
        )

    def _before(self, table: Tensor, columns: Tensor) -> Tensor:
        """Put columns [m, c] after the first of a table, that of the token drawn; the last ones fall out."""
        changed = table.clone()
        kept = table[self.rows, 1 : table.shape[1] - columns.shape[1]]
        changed[self.rows, 1:] = torch.cat([columns.to(table.dtype), kept], dim=1)
        return changed


class TellingSampler:
    """The sampler of either of vLLM's runners, whose output tells the rewards as well."""

    def __init__(self, sampler: Any, readings: "Readings") -> None:
        self.sampler, self.readings = sampler, readings

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        """What the sampler says, with the numbers of this step's tokens."""
        output = self.sampler(*inputs, **more)
        asked, self.readings.asked = self.readings.asked, None
        if asked is not None and output.logprobs_tensors is not None:
            drawn = output.sampled_token_ids[:, 0]
            output.logprobs_tensors = asked.told(drawn, output.logprobs_tensors, self.readings.vocabulary)
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)
