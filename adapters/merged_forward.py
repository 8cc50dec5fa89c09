"""A LoRA layer's forward pass as one matrix product, for float32 layers without dropout.

peft computes x W^T + s (x A^T) B^T, and back again: three more passes over activations than needed, and for a small
model on a CPU a quarter of a training step (`benchmarks/training/lora_forward.py`). Here W + s B A is formed once per
forward pass, which costs R multiplications per weight, against thousands of tokens. The parameters, their names and
their gradients stay peft's.

In 16 bits the sum W + s B A would lose the update to rounding, so those layers keep peft's way, as do quantised ones,
DoRA, layers with dropout and forms other than LoRA.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from adapters.attach import adapted_layers


class _LoraProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
        effective = torch.addmm(weight, B, A, alpha=scaling)  # (out, in)
        ctx.save_for_backward(x, effective, A, B)
        ctx.scaling = scaling
        return F.linear(x, effective)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, effective, A, B = ctx.saved_tensors
        gradient = outputs[0].flatten(0, -2)  # (N, out)
        inputs = x.flatten(0, -2)  # (N, in)
        to_x = (gradient @ effective).view_as(x) if ctx.needs_input_grad[0] else None
        to_A = ((gradient @ B).mT @ inputs).mul_(ctx.scaling)  # (R, in)
        to_B = (gradient.mT @ (inputs @ A.mT)).mul_(ctx.scaling)  # (out, R)
        return to_x, None, to_A, to_B, None


def merge_forward_passes(adapted: Any) -> int:
    """Switch every layer that qualifies to the merged forward pass; returns how many were switched."""
    layers = [layer for layer in adapted_layers(adapted).values() if _qualifies(layer)]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    return len(layers)


def spare_casts(adapted: Any) -> None:
    """Hand every layer's input to A as it is, where autocast chooses the type of the product anyway: peft would write
    it in float32 first, and autocast back in 16 bits.
    """
    for layer in adapted_layers(adapted).values():
        layer.cast_input_dtype_enabled = False  # type: ignore[assignment]


def _qualifies(layer: Any) -> bool:
    if not hasattr(layer, "lora_A"):
        return False
    base = layer.get_base_layer()
    plain = type(base) is nn.Linear and base.bias is None and base.weight.dtype == torch.float32
    dropout = layer.lora_dropout["default"]
    return plain and isinstance(dropout, nn.Identity) and not layer.lora_variant and not layer.merged


def _forward(layer: Any, x: Tensor) -> Tensor:
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return _LoraProduct.apply(x, layer.base_layer.weight, A, B, layer.scaling["default"])  # type: ignore[no-any-return]
