"""What guidance does to each token drawn, told by the one way out that vLLM has for numbers of a token.

A request with {"guidance.rewards": 1} among its `vllm_xargs` gets these numbers as its first likeliest
tokens, in this order, in nats, at temperature 1, of the models' own logits: what vLLM masks, biases or cuts
has no part in them.

    log p_base(y), log p_guided(y), KL(p_guided || p_base), log p_arm_1(y), ... log p_arm_n(y)

vLLM spells every id that it tells, and some tokenizers fail on one that they do not have. So the ids that the
numbers stand under are of tokens, of any that the row does not tell otherwise; they mean nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from vllm.v1.outputs import LogprobsTensors

AT_ONCE = 8  # rows whose distributions are in memory together: nobody has set memory aside for them


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows [m] of a step that are told."""

    rows: Tensor  # [m]
    read: Tensor  # [rows, 1 + n, v] logits of the base and its n ARMs, of the whole step
    coefficients: Tensor  # [m, 1 + n] that guide
    totals: Tensor  # [m, 1 + n + 1] log sum exp of the base, the ARMs and the guided policy
    kl: Tensor  # [m]

    @classmethod
    def of(cls, rows: Tensor, read: Tensor, coefficients: Tensor) -> "Asked":
        """Measure the distributions of these rows, a few at a time."""
        measured = [
            _measured(read[some].float(), factors)
            for some, factors in zip(rows.split(AT_ONCE), coefficients.split(AT_ONCE), strict=True)
        ]
        totals, kl = (torch.cat(found) for found in zip(*measured, strict=True))
        return cls(rows, read, coefficients, totals, kl)

    def of_drawn(self, drawn: Tensor) -> Tensor:
        """The numbers of the tokens that were drawn in all rows of the step; [m, 3 + n]."""
        logits = self.read[self.rows, :, drawn[self.rows].long()].float()  # [m, 1 + n]
        guided = logits[:, 0] + weighted(logits, self.coefficients)
        logp = torch.cat([logits, guided[:, None]], dim=1) - self.totals
        return torch.cat([logp[:, :1], logp[:, -1:], self.kl[:, None], logp[:, 1:-1]], dim=1)

    def told(self, drawn: Tensor, given: LogprobsTensors) -> LogprobsTensors:
        """The log-probabilities of a step, in whose rows [m] the numbers come before the likeliest tokens.

        A request that asks for fewer likeliest tokens than there are numbers was refused where it came in;
        another one of the batch may still have made the table narrower.
        """
        values = self.of_drawn(drawn)
        missing = max(0, 1 + values.shape[1] - given.logprobs.shape[1])
        ids = torch.nn.functional.pad(given.logprob_token_ids, (0, missing))
        logprobs = torch.nn.functional.pad(given.logprobs, (0, missing), value=-torch.inf)
        unused = _unused(ids[self.rows], values.shape[1])
        return given._replace(
            logprob_token_ids=self._before(ids, unused), logprobs=self._before(logprobs, values)
        )

    def _before(self, table: Tensor, columns: Tensor) -> Tensor:
        """Put columns [m, c] after the first of a table, that of the token drawn; the last ones fall out."""
        changed = table.clone()
        kept = table[self.rows, 1 : table.shape[1] - columns.shape[1]]
        changed[self.rows, 1:] = torch.cat([columns.to(table.dtype), kept], dim=1)
        return changed


def weighted(logits: Tensor, coefficients: Tensor) -> Tensor:
    """sum_i c_i * logits_i of logits [m, 1 + n, ...]; c_i = 0 keeps out whatever overflowed. [m, ...]."""
    factor = coefficients.view(*coefficients.shape, *(1,) * (logits.dim() - 2))
    return torch.where(factor == 0, 0.0, factor * logits).sum(1)


def _measured(logits: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """log sum exp [m, 1 + n + 1] and KL [m] of logits [m, 1 + n, v]."""
    guided = logits[:, 0] + weighted(logits, coefficients)
    totals = torch.cat([logits, guided[:, None]], dim=1).logsumexp(-1)
    target = guided - totals[:, -1:]
    apart = target - (logits[:, 0] - totals[:, :1])
    kl = torch.where(target > -torch.inf, target.exp() * apart, 0.0).sum(-1)
    return totals, kl


def _unused(ids: Tensor, count: int) -> Tensor:
    """For each row of ids [m, w], the `count` lowest ids that are not among them; [m, count]."""
    lowest = torch.arange(ids.shape[1] + count, device=ids.device)
    used = (lowest[None, :, None] == ids[:, None, :]).any(-1)
    return used.int().argsort(dim=1, stable=True)[:, :count]
