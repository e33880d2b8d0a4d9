"""An ARM's weights into the buffers of a guided model: all of them, or an error that names the tensor."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from genarm.errors import AdapterError
from genarm.vllm.layout import LINEAR, ArmLayout, place_of, read_arm, tensor
from genarm.vllm.low_rank import LowRank

Factors = tuple[Tensor, Tensor]  # down [r, in], up [out, r], scale included

# Of each linear module of a layer: what vLLM joined it into, and its index there.
PLACES = {(block, part): (name, i) for (block, name), parts in LINEAR.items() for i, part in enumerate(parts)}


def write_arm(layers: Sequence[nn.Module], layout: ArmLayout, name: str, folder: Path) -> None:
    """Replace the weights of an ARM by those in a folder.

    Raises AdapterError where some tensor has no place: another module or layer, a layer below those of which
    the ARM has rows, a larger rank, another size. Nothing is written then.
    """
    if name not in layout.names:
        raise AdapterError(
            f"there is no ARM {name!r} to replace", hint=f"ARMs: {', '.join(layout.names) or 'none'}"
        )
    row = layout.names.index(name)
    first = layout.arms[row].first_layer
    found: dict[LowRank, dict[int, Factors]] = {
        getattr(getattr(layer, block), joined).low_rank: {}
        for layer in list(layers)[first:]
        for block, joined in LINEAR
    }
    for path, (down, up) in read_arm(name, folder).factors.items():
        index, block, part = place_of(name, path)
        where = f"ARM {name!r} at {folder}: {tensor(path)}"
        if (block, part) not in PLACES:
            raise AdapterError(f"{where} is of a module that is not adapted here", hint=_modules())
        if not first <= index < len(layers):
            raise AdapterError(
                f"{where} is of layer {index}, and its rows go through layers {first} to {len(layers) - 1}",
                hint=f"start the server anew, with room for it: genarm.first_layer.{name}",
            )
        joined, place = PLACES[block, part]
        low_rank = getattr(getattr(layers[index], block), joined).low_rank
        if down.shape[0] > low_rank.rank:
            raise AdapterError(
                f"{where} has rank {down.shape[0]}, and there is room for {low_rank.rank}",
                hint="start the server anew, with room for it: genarm.max_rank",
            )
        for factor, actual, wanted in (
            ("A", down.shape[1], low_rank.inputs.size),
            ("B", up.shape[0], low_rank.outputs[place].size),
        ):
            if actual != wanted:
                raise AdapterError(
                    f"ARM {name!r} at {folder}: {tensor(path, factor)} has size {actual}, the base {wanted}",
                    hint="train an ARM on this base",
                )
        found[low_rank][place] = down, up
    for low_rank, factors in found.items():
        low_rank.write(row, factors)


def _modules() -> str:
    return f"modules: {', '.join(part for parts in LINEAR.values() for part in parts)}"
