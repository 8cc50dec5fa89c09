"""Leaner forward passes of a LoRA layer without dropout. Parameters, their names and gradients stay peft's.

peft computes x W^T + s (x A^T) B^T, and back again, as separate products, sums and multiplications over activations.

    merged   float32 weights: W + s B A is formed once per forward pass, which costs R multiplications per weight,
             against thousands of tokens; then there is one product (`benchmarks/training/lora_forward.py`), and one
             for all layers with the same input: queries, keys and values; the gate's two factors. A whole block with
             short rows on a CPU is one function (`block_on_cpu`)
    added    16-bit and NF4 weights, where the sum W + s B A would lose the update to rounding: the second term is added
             by the matrix product that computes it, in place. peft passes about three times as often over activations

DoRA, int8 (whose output may not be changed in place), layers with dropout and forms other than LoRA keep peft's way.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from adapters.attach import adapted_layers
from adapters.base import PROJECTIONS
from llada.network.kernels import block_on_cpu
from llada.network.modeling import LLaDABlock

LARGE = 1.25
"""How much faster a CPU works on a product of whole matrices than on one whose inner or outer side is a rank."""


class _Merged(torch.autograd.Function):
    """x (W + s B A)^T of several layers with the same input x, in one product.

    Backward, G = gradient^T x is all that A and B need: s B^T G and s G A^T. Where a weight has hardly more numbers
    than its factors it is cheaper to form G; else the factors are multiplied with the N positions first.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scalings: tuple[float, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        """`tensors`: all W (out, in), then all A (R, in), then all B (out, R)."""
        count = len(scalings)
        weights, As, Bs = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        ctx.widths, ctx.scalings = [len(weight) for weight in weights], scalings
        effective = _effective(weights, As, Bs, scalings)
        ctx.save_for_backward(x, effective, *As, *Bs)
        output = F.linear(x, effective)
        return output.split(ctx.widths, dim=-1) if count > 1 else (output,)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, effective, *factors = ctx.saved_tensors
        count = len(ctx.scalings)
        As, Bs = factors[:count], factors[count:]
        slopes = [output.flatten(0, -2) for output in outputs]  # (N, out) each
        slope = slopes[0] if count == 1 else torch.cat(slopes, dim=1)
        to_x = torch.mm(slope, effective).view_as(x) if ctx.needs_input_grad[0] else None
        to_As, to_Bs = _to_factors(slope, x.flatten(0, -2), As, Bs, ctx.scalings)
        return to_x, None, *[None] * count, *to_As, *to_Bs


def _to_factors(
    slope: Tensor, inputs: Tensor, As: Sequence[Tensor], Bs: Sequence[Tensor], scalings: Sequence[float]
) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of all A and of all B of layers with the same inputs (N, in); slope (N, out of all of them)."""
    widths, to_As, to_Bs = [len(B) for B in Bs], [], []
    if _whole_is_cheaper(len(inputs), len(As[0]), sum(widths), inputs.shape[1], layers=len(As)):
        for G, A, B, scaling in zip(torch.mm(slope.t(), inputs).split(widths), As, Bs, scalings, strict=True):
            to_As.append(_scaled(A, B.t(), G, scaling))
            to_Bs.append(_scaled(B, G, A.t(), scaling))
    else:
        for part, A, B, scaling in zip(slope.split(widths, dim=1), As, Bs, scalings, strict=True):
            to_As.append(_scaled(A, torch.mm(part, B).t(), inputs, scaling))
            to_Bs.append(_scaled(B, part.t(), torch.mm(inputs, A.t()), scaling))
    return to_As, to_Bs


def _whole_is_cheaper(positions: int, rank: int, outputs: int, inputs: int, layers: int) -> bool:
    """Is G = gradient^T x, of all layers together (outputs, inputs), and A's and B's gradients from it less work?"""
    whole = outputs * inputs * (positions + 2 * rank)
    return whole <= LARGE * 2 * positions * rank * (outputs + layers * inputs)


def _scaled(like: Tensor, one: Tensor, other: Tensor, scaling: float) -> Tensor:
    """s (one @ other), of the shape of `like`, whose numbers do not count: one operation in place of two."""
    return torch.addmm(like, one, other, beta=0, alpha=scaling)


def _effective(
    weights: Sequence[Tensor], As: Sequence[Tensor], Bs: Sequence[Tensor], scalings: Sequence[float]
) -> Tensor:
    """W + s B A of several layers, one below the other: (out of all of them, in)."""
    effective = weights[0].new_empty(sum(map(len, weights)), weights[0].shape[1])
    parts = effective.split([len(weight) for weight in weights])
    for weight, A, B, scaling, part in zip(weights, As, Bs, scalings, parts, strict=True):
        torch.addmm(weight, B, A, alpha=scaling, out=part)
    return effective


GROUPS = (slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 7))
"""Of `PROJECTIONS` those with the same input, in the order of `block_on_cpu.Slopes`."""
PAIRED = (0, 1)
"""Of `PROJECTIONS` q and k, whose rows `block_on_cpu` has in pairs."""


class _Block(torch.autograd.Function):
    """A block, W + s B A its weights, as `block_on_cpu` computes it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        block: LLaDABlock,
        asked: tuple[Any, ...],
        scalings: tuple[float, ...],
        *tensors: Tensor,
    ) -> Tensor:
        """`asked`: cos, sin, mask and keep of `LLaDABlock.forward`. `tensors`: all W of `PROJECTIONS`, all A, all B."""
        heads, count = block.n_heads, len(PROJECTIONS)
        weights, As, Bs = _paired(tensors[:count], heads), tensors[count : 2 * count], _paired(tensors[-count:], heads)
        products = [_effective(weights[group], As[group], Bs[group], scalings[group]) for group in GROUPS]
        parts = block_on_cpu.BlockWeights.of(block, products)
        y, kept = block_on_cpu.forward(parts, x, *asked)
        ctx.block, ctx.scalings = block, scalings
        ctx.save_for_backward(*As, *Bs, *parts.products, *kept)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        tensors, count, heads = ctx.saved_tensors, len(PROJECTIONS), ctx.block.n_heads
        As, Bs, rest = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        parts = block_on_cpu.BlockWeights.of(ctx.block, rest[: len(GROUPS)])
        kept = block_on_cpu.Kept(*rest[len(GROUPS) :])
        to_x, slopes = block_on_cpu.backward(parts, kept, outputs[0], ctx.needs_input_grad[0])
        to_As, to_Bs = [], []
        for group, (slope, inputs) in zip(GROUPS, slopes, strict=True):
            ones, others = _to_factors(slope, inputs, As[group], Bs[group], ctx.scalings[group])
            to_As += ones
            to_Bs += others
        for i in PAIRED:
            to_Bs[i] = block_on_cpu.in_halves(to_Bs[i], heads)
        return to_x, None, None, None, *[None] * count, *to_As, *to_Bs


def _paired(rows: Sequence[Tensor], heads: int) -> list[Tensor]:
    """W or B of `PROJECTIONS`, those of q and k in pairs."""
    return [block_on_cpu.in_pairs(one, heads) if i in PAIRED else one for i, one in enumerate(rows)]


class _Tapped(torch.autograd.Function):
    """(x, x A^T), x for the base's product alone, whose gradient towards x is added to in place.

    It comes before that product, so that whoever computes a block again for its backward pass (`torch.utils.checkpoint`
    stops at the last tensor that was kept) spares the product of the block's last layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, A)
        alias = x.view_as(x)
        if not ctx.needs_input_grad[0]:
            ctx.mark_non_differentiable(alias)
        return alias, x.flatten(0, -2) @ A.to(x.dtype).mT  # (N, R)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, Tensor]:
        x, A = ctx.saved_tensors
        to_x, to_low = outputs
        to_A = (to_low.mT @ x.flatten(0, -2)).to(A.dtype)
        if not ctx.needs_input_grad[0]:
            return None, to_A
        to_x.view(-1, to_x.shape[-1]).addmm_(to_low, A.to(x.dtype))
        return to_x, to_A


class _Added(torch.autograd.Function):
    """x W^T + s low B^T, in the type of x, W and `low` (N, R); B is wider."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, weight: Tensor, B: Tensor, scaling: float) -> Tensor:
        ctx.low, ctx.weight, ctx.B, ctx.scaling = low.detach(), weight, B, scaling
        output = x.flatten(0, -2) @ weight.mT
        return output.addmm_(low, B.to(low.dtype).mT, alpha=scaling).view(*x.shape[:-1], len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        to_x = outputs[0] @ ctx.weight if ctx.needs_input_grad[0] else None
        to_low, to_B = _to_low_and_B(ctx, outputs[0])
        return to_x, to_low, None, to_B, None


class _AddedTo(torch.autograd.Function):
    """y + s low B^T, left in y, the output of an NF4 layer."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, low: Tensor, B: Tensor, scaling: float) -> Tensor:
        ctx.low, ctx.B, ctx.scaling = low.detach(), B, scaling
        y.view(-1, y.shape[-1]).addmm_(low, B.to(low.dtype).mT, alpha=scaling)
        ctx.mark_dirty(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        return outputs[0], *_to_low_and_B(ctx, outputs[0]), None


def _to_low_and_B(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N802
    """Of s low B^T: the gradients of `low` (N, R) and of B (out, R), in their types."""
    gradient = gradient.flatten(0, -2)  # (N, out)
    to_low = (gradient @ ctx.B.to(gradient.dtype)).mul_(ctx.scaling)
    return to_low, (gradient.mT @ ctx.low).to(ctx.B.dtype).mul_(ctx.scaling)


def lean_forward_passes(adapted: Any) -> int:
    """Switch every layer that qualifies to its leaner forward pass; returns how many were switched."""
    switched = 0
    for layer in adapted_layers(adapted).values():
        forward = _forward_of(layer)
        if forward is not None:
            layer.forward = types.MethodType(forward, layer)
            switched += 1
    for block in adapted.get_base_model().modules():
        if isinstance(block, LLaDABlock):
            block.project = types.MethodType(_projected, block)  # type: ignore[method-assign]
            if all(_is_merged(block.part(name)) for name in PROJECTIONS):
                block.whole = types.MethodType(_whole, block)  # type: ignore[method-assign]
    return switched


def spare_casts(adapted: Any) -> None:
    """Hand every layer's input to A as it is, where autocast chooses the type of the product anyway: peft would write
    it in float32 first, and autocast back in 16 bits.
    """
    for layer in adapted_layers(adapted).values():
        layer.cast_input_dtype_enabled = False  # type: ignore[assignment]


def _forward_of(layer: Any) -> Callable[[Any, Tensor], Tensor] | None:
    if not hasattr(layer, "lora_A") or layer.lora_variant or layer.merged:
        return None
    if not isinstance(layer.lora_dropout["default"], nn.Identity):
        return None
    base = layer.get_base_layer()
    if base.bias is not None:
        return None
    if type(base) is nn.Linear:
        return _merged if base.weight.dtype == torch.float32 else _added
    return _added_to_nf4 if type(base).__name__ == "Linear4bit" else None


def _factors(layer: Any) -> tuple[Tensor, Tensor, float]:
    return layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]


def _merged(layer: Any, x: Tensor) -> Tensor:
    A, B, scaling = _factors(layer)
    return _Merged.apply(x, (scaling,), layer.base_layer.weight, A, B)[0]  # type: ignore[no-any-return]


def _projected(block: Any, names: tuple[str, ...], x: Tensor) -> tuple[Tensor, ...]:
    """`LLaDABlock.project`, in one product where all of the layers are merged ones."""
    layers = [block.part(name) for name in names]
    if not all(map(_is_merged, layers)):
        return tuple(layer(x) for layer in layers)
    As, Bs, scalings = zip(*map(_factors, layers), strict=True)
    weights = [layer.base_layer.weight for layer in layers]
    return _Merged.apply(x, scalings, *weights, *As, *Bs)  # type: ignore[no-any-return]


def _is_merged(layer: Any) -> bool:
    return getattr(layer.forward, "__func__", None) is _merged


def _whole(block: Any, x: Tensor, *asked: Any) -> Tensor:
    """`LLaDABlock.whole`, of merged layers alone."""
    layers = [block.part(name) for name in PROJECTIONS]
    As, Bs, scalings = zip(*map(_factors, layers), strict=True)
    weights = [layer.base_layer.weight for layer in layers]
    return _Block.apply(x, block, asked, scalings, *weights, *As, *Bs)  # type: ignore[no-any-return]


def _added(layer: Any, x: Tensor) -> Tensor:
    weight = layer.base_layer.weight
    x = x.to(weight.dtype)  # as autocast does
    if torch.compiler.is_compiling():  # which fuses the sum with what comes after
        return F.linear(x, weight) + _update(layer, x)
    A, B, scaling = _factors(layer)
    x, low = _Tapped.apply(x, A)  # type: ignore[misc]
    return _Added.apply(x, low, weight, B, scaling)  # type: ignore[no-any-return]


def _added_to_nf4(layer: Any, x: Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        return layer.base_layer(x) + _update(layer, x)
    A, B, scaling = _factors(layer)
    x, low = _Tapped.apply(x, A)  # type: ignore[misc]
    return _AddedTo.apply(layer.base_layer(x), low, B, scaling)  # type: ignore[no-any-return]


def _update(layer: Any, x: Tensor) -> Tensor:
    A, B, scaling = _factors(layer)
    return F.linear(F.linear(x, A.to(x.dtype)), B.to(x.dtype)) * scaling
