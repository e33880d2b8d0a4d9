"""LoRA by rows: the frozen linear modules of one model serve the base and its ARMs in one batch.

    y = x W^T + b                    all rows, and all modules that read the same x, in one product
    y += ((x A^T) * mine) B^T        A and B hold the factors of all adapters one after the other; `mine`
                                     [rows, sum of ranks] is 1 where a column belongs to the row's adapter

So any number of adapters, of any rank and on any modules, costs two small products, and no weight is merged
or copied: the modules' weights become slices of the joined one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genarm.decoding.runner.adapter_files import Adapter
from genarm.errors import AdapterError

FEW = 8  # rows for which two products in float32 took a third of the time of two in bfloat16 (2026-11-22)
SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # modules that read one input


class Rows:
    """Whose the rows of a pass are: each one's adapter by index, -1 for the bare ones, which come first."""

    def __init__(self, adapter: Tensor, bare: int) -> None:
        self.adapter, self.bare = adapter, bare
        self.mine: dict[Product, Tensor | None] = {}

    def mask(self, product: "Product") -> Tensor | None:
        """`mine` for the rows that are not bare; None where none of their adapters is on this product."""
        if product not in self.mine:
            found = None
            if product.column is not None and self.bare < len(self.adapter):
                mine = self.adapter[self.bare :, None] == product.column
                found = mine.to(product.dtype) if bool(mine.any()) else None
            self.mine[product] = found
        return self.mine[product]


class Pass:
    """What is on its way through a model now; set before each layer whose rows differ from the last."""

    rows: Rows | None = None


class Product:
    """Linear modules that read one input, as one product."""

    def __init__(self, modules: Sequence[nn.Linear], now: Pass, dtype: torch.dtype) -> None:
        self.now, self.dtype = now, dtype
        self.widths = [module.out_features for module in modules]
        self.weight, self.bias = modules[0].weight, modules[0].bias
        # A quantised module, or one that moves its weights, has a product of its own.
        self.module = None if _joinable(modules[0]) else modules[0]
        if len(modules) > 1:
            self.weight = nn.Parameter(torch.cat([m.weight for m in modules]), requires_grad=False)
            if any(m.bias is not None for m in modules):
                biases: list[Tensor] = [
                    m.weight.new_zeros(m.out_features) if m.bias is None else m.bias for m in modules
                ]
                self.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
        self.down: Tensor | None = None  # [n, in]
        self.up: Tensor | None = None  # [out, n], scale included
        self.exact: tuple[Tensor, Tensor] | None = None  # both in float32
        self.column: Tensor | None = None  # [n] the adapter of each column
        self._read: Tensor | None = None
        self._made: Tensor | None = None

    def adapt(self, factors: Sequence[tuple[int, int, Tensor, Tensor]]) -> None:
        """Take (module, adapter, down, up) of every adapter on these modules, both by their index."""
        ranks = [down.shape[0] for _, _, down, _ in factors]
        meta = self.weight.device.type == "meta"  # a hook brings the weights when they are needed
        there: dict[str, Any] = {"dtype": self.dtype, "device": "cpu" if meta else self.weight.device}
        self.down = torch.cat([down.to(**there) for _, _, down, _ in factors])
        self.up = torch.zeros(sum(self.widths), sum(ranks), **there)
        column = 0
        for (module, _, _, up), rank in zip(factors, ranks, strict=True):
            start = sum(self.widths[:module])
            self.up[start : start + self.widths[module], column : column + rank] = up.to(**there)
            column += rank
        if self.dtype == torch.bfloat16 and self.down.device.type == "cpu":
            self.exact = self.down.float(), self.up.float()
        owners = torch.tensor([adapter for _, adapter, _, _ in factors])
        self.column = owners.repeat_interleave(torch.tensor(ranks)).to(self.down.device)

    def __call__(self, x: Tensor) -> Tensor:
        """All modules' outputs side by side; the siblings of the first to ask get what it got."""
        if x is not self._read:
            self._read, self._made = x, self._multiply(x)
        assert self._made is not None
        return self._made

    def forget(self) -> None:
        self._read = self._made = None

    def _multiply(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias) if self.module is None else self.module(x)
        mine = None if self.now.rows is None else self.now.rows.mask(self)
        if mine is None:
            return y
        assert self.now.rows is not None and self.down is not None and self.up is not None
        flat_x, flat_y = x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1])
        each = flat_x.shape[0] // len(self.now.rows.adapter)  # positions a row: x is [r, q, d] or [r * q, d]
        start = self.now.rows.bare * each
        mine = mine if each == 1 else mine.repeat_interleave(each, 0)
        if len(mine) <= FEW and self.exact is not None:
            down, up = self.exact
            flat_y[start:].add_(F.linear(F.linear(flat_x[start:].float(), down) * mine, up))
        else:
            flat_y[start:].addmm_(F.linear(flat_x[start:], self.down) * mine, self.up.T)
        return y


class Slice(nn.Module):
    """Stands where a linear module stood: its slice of the product."""

    def __init__(self, linear: nn.Linear, product: Product, index: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.product, self.index = product, index
        self.start = sum(product.widths[:index])
        self.whole, self.last = len(product.widths) == 1, index == len(product.widths) - 1
        stop = self.start + self.out_features
        self.weight = linear.weight if self.whole else nn.Parameter(product.weight[self.start : stop], False)
        self.bias = linear.bias
        if not self.whole and product.bias is not None:
            self.bias = nn.Parameter(product.bias[self.start : stop], False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.product(x)
        if self.last:
            self.product.forget()
        return y if self.whole else y[..., self.start : self.start + self.out_features]


def install(model: nn.Module, adapters: Sequence[Adapter], now: Pass, dtype: torch.dtype) -> None:
    """Join the model's siblings and let its linear modules serve these adapters by rows.

    Raises AdapterError where one does not fit.
    """
    for adapter in adapters:
        for path, (down, up) in adapter.factors.items():
            _check_fits(_linear(model, adapter.name, path), adapter.name, path, down, up)
    adapted = {path for adapter in adapters for path in adapter.factors}
    for name, parent in list(model.named_modules()):
        for group in SIBLINGS:
            if all(_joinable(getattr(parent, leaf, None)) for leaf in group):
                _join(model, [f"{name}.{leaf}" for leaf in group], adapters, now, dtype)
                adapted -= {f"{name}.{leaf}" for leaf in group}
    for path in sorted(adapted):
        _join(model, [path], adapters, now, dtype)


def _joinable(module: object) -> bool:
    return type(module) is nn.Linear and not hasattr(module, "_hf_hook")


def _join(
    model: nn.Module, paths: Sequence[str], adapters: Sequence[Adapter], now: Pass, dtype: torch.dtype
) -> None:
    linears = [model.get_submodule(path) for path in paths]
    product = Product(linears, now, dtype)  # type: ignore[arg-type]
    factors = [
        (i, index, *adapter.factors[path])
        for index, adapter in enumerate(adapters)
        for i, path in enumerate(paths)
        if path in adapter.factors
    ]
    if factors:
        product.adapt(factors)
    for i, path in enumerate(paths):
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, Slice(linears[i], product, i))  # type: ignore[arg-type]


def _check_fits(module: nn.Linear, name: str, path: str, down: Tensor, up: Tensor) -> None:
    if (up.shape[0], down.shape[1]) != (module.out_features, module.in_features):
        raise AdapterError(
            f"ARM {name!r} adapts {path!r} as [{up.shape[0]}, {down.shape[1]}], "
            f"the model has [{module.out_features}, {module.in_features}]",
            hint="train an ARM on this base",
        )


def _linear(model: nn.Module, name: str, path: str) -> nn.Linear:
    try:
        module = model.get_submodule(path)
    except AttributeError:
        module = None
    if not isinstance(module, nn.Linear):
        raise AdapterError(
            f"ARM {name!r} adapts {path!r}, which is no linear module of the model",
            hint="train an ARM on this base",
        )
    return module
