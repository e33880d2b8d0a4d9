"""LoRA by rows: the frozen linear modules of one model serve the base and its ARMs in one batch.

    y = x W^T + b                    all rows, and all modules that read the same x, in one product
    y += ((x A^T) * mask) B^T        A and B hold the factors of all adapters one after the other; `mask`
                                     [rows, sum of ranks] is 1 where a column belongs to the row's adapter

Where an adapter is conditioned on a preference vector, its columns have not 1 but the share of a dimension
in the mask of a row (genarm/models/bilinear.py): every row has its own vector, for no further product.

So any number of adapters, of any rank and on any modules, costs two small products, and no weight is merged
or copied: the modules' weights become slices of the joined one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genarm.decoding.runner.adapter_files import Adapter, dimensions_of
from genarm.errors import AdapterError

FEW_ROWS = 8  # for which two products in float32 took a third of the time of two in bfloat16 (2026-11-22)
SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # modules that read one input


class RowAdapters:
    """The adapter of each row of a pass.

    `adapter` [r] is its index, -1 for the bare rows, which come first; `bare` says how many those are.
    `shares` [r, 1 + dimensions] is 1, and then how much each preference dimension counts for the row; None
    where no adapter is conditioned on that.
    """

    def __init__(self, adapter: Tensor, bare: int, shares: Tensor | None = None) -> None:
        self.adapter, self.bare, self.shares = adapter, bare, shares
        self._masks: dict[JoinedLinear, Tensor | None] = {}

    def mask(self, linear: "JoinedLinear") -> Tensor | None:
        """1 where a column of the factors belongs to the row's adapter, [rows that are not bare, ranks].

        In a column that is conditioned on a dimension, the row's share of that. None where no adapter of
        these rows is on this module.
        """
        if linear not in self._masks:
            self._masks[linear] = self._new_mask(linear)
        return self._masks[linear]

    def _new_mask(self, linear: "JoinedLinear") -> Tensor | None:
        if linear.column_adapter is None or self.bare == len(self.adapter):
            return None
        belongs = self.adapter[self.bare :, None] == linear.column_adapter
        if not bool(belongs.any()):
            return None
        mask = belongs.to(linear.dtype)
        if linear.column_share is not None and self.shares is not None:
            mask = mask * self.shares[self.bare :, linear.column_share].to(linear.dtype)
        return mask

    def condition(self, shares: Tensor) -> None:
        """Give the rows other shares [r, 1 + dimensions], in the tensors that there are."""
        assert self.shares is not None
        self.shares.copy_(shares)
        for linear, mask in self._masks.items():
            if mask is not None and linear.column_share is not None:
                new = self._new_mask(linear)
                assert new is not None
                mask.copy_(new)


class RowContext:
    """The rows that one model's linear modules serve. Outside `serving` there are none: the model is bare.

    transformers calls the modules, so the rows cannot reach them as an argument.
    """

    def __init__(self) -> None:
        self.rows: RowAdapters | None = None

    @contextmanager
    def serving(self, rows: RowAdapters) -> Iterator[None]:
        """Let the modules serve these rows inside the block."""
        before, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = before


class JoinedLinear:
    """Linear modules that read one input, as one product with the factors of all adapters on them."""

    def __init__(self, modules: Sequence[nn.Linear], context: RowContext, dtype: torch.dtype) -> None:
        self.context, self.dtype = context, dtype
        self.widths = [module.out_features for module in modules]
        self.weight, self.bias = modules[0].weight, modules[0].bias
        # A quantised module, or one that moves its weights, is called as it is.
        self.module = None if _joinable(modules[0]) else modules[0]
        if len(modules) > 1:
            self.weight = nn.Parameter(torch.cat([m.weight for m in modules]), requires_grad=False)
            if any(m.bias is not None for m in modules):
                biases: list[Tensor] = [
                    m.weight.new_zeros(m.out_features) if m.bias is None else m.bias for m in modules
                ]
                self.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
        self.down: Tensor | None = None  # [ranks, in]
        self.up: Tensor | None = None  # [out, ranks], scale included
        self.exact: tuple[Tensor, Tensor] | None = None  # both in float32
        self.column_adapter: Tensor | None = None  # [ranks] the adapter that each column belongs to
        # [ranks] which of a row's shares multiplies each column; None where none is conditioned
        self.column_share: Tensor | None = None
        self.mask: Tensor | None = None  # of the rows in scope, for compiled code, which looks nothing up
        self._input: Tensor | None = None
        self._output: Tensor | None = None

    def adapt(
        self,
        factors: Sequence[tuple[int, int, Tensor, Tensor]],
        shares: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """Take (module, adapter, down, up) of every adapter on these modules, the first two by their index.

        down [rank, in], up [the module's out, rank] with the scale included. `shares` has for each adapter
        that is conditioned which of a row's shares multiplies each of its columns.
        """
        ranks = [down.shape[0] for _, _, down, _ in factors]
        meta = self.weight.device.type == "meta"  # a hook brings the weights when they are needed
        device = torch.device("cpu") if meta else self.weight.device
        self.down = torch.cat([down.to(device, self.dtype) for _, _, down, _ in factors])
        self.up = torch.zeros(sum(self.widths), sum(ranks), device=device, dtype=self.dtype)
        column = 0
        for (module, _, _, up), rank in zip(factors, ranks, strict=True):
            start = sum(self.widths[:module])
            self.up[start : start + self.widths[module], column : column + rank] = up.to(device, self.dtype)
            column += rank
        if self.dtype == torch.bfloat16 and self.down.device.type == "cpu":
            self.exact = self.down.float(), self.up.float()
        adapters = torch.tensor([adapter for _, adapter, _, _ in factors])
        self.column_adapter = adapters.repeat_interleave(torch.tensor(ranks)).to(self.down.device)
        if shares and any(adapter in shares for _, adapter, _, _ in factors):
            columns = [
                share
                for (_, adapter, _, _), rank in zip(factors, ranks, strict=True)
                for share in shares.get(adapter, [0] * rank)
            ]
            self.column_share = torch.tensor(columns, device=self.down.device)

    def __call__(self, x: Tensor) -> Tensor:
        """All modules' outputs side by side, computed for the first that asks and kept for its siblings."""
        if x is not self._input:
            self._input, self._output = x, self._multiply(x)
        assert self._output is not None
        return self._output

    def forget(self) -> None:
        """Drop the kept output, once the last sibling has its part."""
        self._input = self._output = None

    def _multiply(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias) if self.module is None else self.module(x)
        rows = self.context.rows
        compiling = torch.compiler.is_compiling()
        mask = None if rows is None else self.mask if compiling else rows.mask(self)
        if rows is None or mask is None:
            return y
        assert self.down is not None and self.up is not None
        flat_x, flat_y = x.reshape(-1, x.shape[-1]), y.view(-1, y.shape[-1])
        each = flat_x.shape[0] // len(rows.adapter)  # positions a row: x is [r, q, d] or [r * q, d]
        start = rows.bare * each
        mask = mask if each == 1 else mask.repeat_interleave(each, 0)
        if len(mask) <= FEW_ROWS and self.exact is not None:
            down, up = self.exact
            flat_y[start:].add_(F.linear(F.linear(flat_x[start:].float(), down) * mask, up))
        else:
            flat_y[start:].addmm_(F.linear(flat_x[start:], self.down) * mask, self.up.T)
        return y


class JoinedLinearView(nn.Module):
    """Stands where a linear module stood: its columns of the joined one."""

    def __init__(self, linear: nn.Linear, joined: JoinedLinear, index: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.joined, self.index = joined, index
        self.start = sum(joined.widths[:index])
        self.whole, self.last = len(joined.widths) == 1, index == len(joined.widths) - 1
        stop = self.start + self.out_features
        self.weight = linear.weight if self.whole else nn.Parameter(joined.weight[self.start : stop], False)
        self.bias = linear.bias
        if not self.whole and joined.bias is not None:
            self.bias = nn.Parameter(joined.bias[self.start : stop], False)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]"""
        y = self.joined(x)
        if self.last:
            self.joined.forget()
        return y if self.whole else y[..., self.start : self.start + self.out_features]


def install(model: nn.Module, adapters: Sequence[Adapter], dtype: torch.dtype) -> RowContext:
    """Join the model's siblings and let its linear modules serve these adapters, for the rows of the context.

    Raises AdapterError where one does not fit.
    """
    context = RowContext()
    for adapter in adapters:
        for path, (down, up) in adapter.factors.items():
            _check_fits(_linear(model, adapter.name, path), adapter.name, path, down, up)
    adapted = {path for adapter in adapters for path in adapter.factors}
    for name, parent in list(model.named_modules()):
        for group in SIBLINGS:
            if all(_joinable(getattr(parent, leaf, None)) for leaf in group):
                _join(model, [f"{name}.{leaf}" for leaf in group], adapters, context, dtype)
                adapted -= {f"{name}.{leaf}" for leaf in group}
    for path in sorted(adapted):
        _join(model, [path], adapters, context, dtype)
    return context


def _joinable(module: object) -> bool:
    return type(module) is nn.Linear and not hasattr(module, "_hf_hook")


def _join(
    model: nn.Module,
    paths: Sequence[str],
    adapters: Sequence[Adapter],
    context: RowContext,
    dtype: torch.dtype,
) -> None:
    linears = [model.get_submodule(path) for path in paths]
    joined = JoinedLinear(linears, context, dtype)  # type: ignore[arg-type]
    factors = [
        (i, index, *adapter.factors[path])
        for index, adapter in enumerate(adapters)
        for i, path in enumerate(paths)
        if path in adapter.factors
    ]
    if factors:
        place = {name: i for i, name in enumerate(("", *dimensions_of(adapters)))}
        joined.adapt(
            factors,
            {
                index: [place[name] for name in adapter.conditioning.columns]
                for index, adapter in enumerate(adapters)
                if adapter.conditioning
            },
        )
    for i, path in enumerate(paths):
        parent, _, leaf = path.rpartition(".")
        view = JoinedLinearView(linears[i], joined, i)  # type: ignore[arg-type]
        setattr(model.get_submodule(parent), leaf, view)


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
