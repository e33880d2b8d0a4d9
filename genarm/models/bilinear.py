"""The adapter of a PARM, an ARM that is told how much each preference dimension counts (arXiv 2505.06274).

    Delta W(p) = alpha / r2 * (B1 W1 A1 + B2 W2(p) A2),    W2(p) = sum_i p_i M_i

p is the request's preference vector: one share for each dimension, at least 0, 1 in sum. A1 [r1, in] and
B1 [out, r1] hold for every vector, A2 [r2, in] and B2 [out, r2] for the vector that the matrices M_i [r2, r2]
mix. (The paper makes W2 of p by a linear layer; a bias would be one more sum over the p_i, which are 1
together.) Two plain forms follow, and neither is an approximation:

at one vector    a LoRA of rank r1 + r2: up [B1 W1 | B2 W2(p)], down [A1; A2]
at all vectors   a LoRA of rank r1 + k r2, up [B1 W1 | B2 M_1 | ... | B2 M_k], down [A1; A2; ...; A2], whose
                 low-rank activations are multiplied by 1 and, those of dimension i, by p_i

The folder is PEFT's, with two more tensors a module, `lora_W1` [r1, r1] and `lora_W2` [k, r2, r2]. Its
configuration names another kind of adapter than LoRA, so that no program takes it for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genarm.errors import AdapterError

KIND = "PARM"  # peft_type of the configuration
SECTION = "parm"  # of the configuration: what a LoRA's does not have
PLAIN_KIND = "LORA"


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What a PARM is conditioned on: its dimensions in the order of the vector, and the two ranks."""

    dimensions: tuple[str, ...]
    rank: int  # r1, the same for every vector
    conditioned_rank: int  # r2, mixed by the vector

    def vector(self, preference: Mapping[str, float]) -> Tensor:
        """The shares in the order of the dimensions, 0 for one that is not named -> [k] float32."""
        return torch.tensor([float(preference.get(name, 0.0)) for name in self.dimensions])

    @property
    def columns(self) -> tuple[str, ...]:
        """Whose share multiplies each column of the LoRA at all vectors; empty where none does."""
        conditioned = (name for name in self.dimensions for _ in range(self.conditioned_rank))
        return (*("" for _ in range(self.rank)), *conditioned)


@dataclass(frozen=True, slots=True)
class BilinearFactors:
    """The tensors of one module: a [r1 + r2, in], b [out, r1 + r2], w1 [r1, r1], w2 [k, r2, r2]."""

    a: Tensor
    b: Tensor
    w1: Tensor
    w2: Tensor

    def up(self, vector: Tensor) -> Tensor:
        """B' = [B1 W1 | B2 W2(p)] at one vector [k] -> [out, r1 + r2]; `a` goes below it."""
        rank = len(self.w1)
        mixed = torch.einsum("k,kij->ij", vector.to(self.w2), self.w2)
        return torch.cat([self.b[:, :rank] @ self.w1, self.b[:, rank:] @ mixed], 1)

    def at_all_vectors(self) -> tuple[Tensor, Tensor]:
        """Down [r1 + k r2, in] and up [out, r1 + k r2] of the LoRA whose columns the shares multiply."""
        rank = len(self.w1)
        ups = [self.b[:, rank:] @ matrix for matrix in self.w2]
        down = torch.cat([self.a[:rank], *[self.a[rank:]] * len(ups)])
        return down, torch.cat([self.b[:, :rank] @ self.w1, *ups], 1)


def conditioning_of(config: Mapping[str, Any], where: str) -> Conditioning | None:
    """What the adapter of this configuration is conditioned on; None for any other adapter than a PARM's.

    Raises AdapterError, which names `where` the configuration lies, where the PARM's section is damaged.
    """
    if config.get("peft_type") != KIND:
        return None
    section: Any = config.get(SECTION)
    try:
        names, rank, conditioned = (section[key] for key in ("dimensions", "rank", "conditioned_rank"))
        sound = rank >= 0 and conditioned >= 1 and len({*names}) == len(names) >= 2 and all(names)
    except (TypeError, KeyError):
        sound = False
    if not sound:
        raise AdapterError(
            f"{where}: {SECTION} is {section!r}, not dimensions with a rank and a conditioned_rank",
            hint="train it again",
        )
    return Conditioning(tuple(names), rank, conditioned)


def parm_config(plain: Mapping[str, Any], conditioning: Conditioning) -> dict[str, Any]:
    """The configuration of a PARM, from that of the LoRA that has its A and B."""
    section = {
        "dimensions": list(conditioning.dimensions),
        "rank": conditioning.rank,
        "conditioned_rank": conditioning.conditioned_rank,
    }
    return {**plain, "peft_type": KIND, SECTION: section}


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a plain LoRA of rank r1 + r2, which is what a PARM is at one vector."""
    return {key: value for key, value in config.items() if key != SECTION} | {"peft_type": PLAIN_KIND}


def bilinear_factors(
    tensors: Mapping[str, Tensor], conditioning: Conditioning, where: str
) -> dict[str, BilinearFactors]:
    """The tensors of a PARM's file by module, each under the name that its keys begin with.

    Raises AdapterError, which names `where` the tensors lie, for one that is missing, of another shape than
    the configuration says, or not a PARM's.
    """
    sides = {"a": ".lora_A.weight", "b": ".lora_B.weight", "w1": ".lora_W1", "w2": ".lora_W2"}
    names = [name for key in sorted(tensors) if (name := key.removesuffix(sides["a"])) != key]
    r1, r2, k = conditioning.rank, conditioning.conditioned_rank, len(conditioning.dimensions)
    expected = {name + side for name in names for side in sides.values()}
    if not names or (odd := sorted(expected ^ set(tensors))):
        what = repr(odd[0]) if names else "lora_A"
        raise AdapterError(
            f"{where}: {what} is {'missing' if not names or odd[0] in expected else 'no tensor of a PARM'}",
            hint="train it again",
        )
    found = {}
    for name in names:
        of = BilinearFactors(**{side: tensors[name + key] for side, key in sides.items()})
        shapes = [tuple(of.a.shape[:1]), tuple(of.b.shape[1:]), tuple(of.w1.shape), tuple(of.w2.shape)]
        wanted: Sequence[tuple[int, ...]] = [(r1 + r2,), (r1 + r2,), (r1, r1), (k, r2, r2)]
        if shapes != wanted:
            raise AdapterError(
                f"{where}: {name} has ranks and matrices {shapes}, its configuration asks for {wanted}",
                hint="train it again",
            )
        found[name] = of
    return found
