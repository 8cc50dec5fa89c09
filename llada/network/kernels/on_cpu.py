"""RMSNorm on a CPU: PyTorch's operations, and the backward pass in closed form.

Autograd takes PyTorch's own RMSNorm back by about a dozen operations, every one a pass over memory; the closed form
needs half of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def usable(x: Tensor) -> bool:
    """Is this a tensor of the CPU's, and nothing being compiled, which fuses by itself?"""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) in float32 at least, rounded to the weight's type, times the weight, which needs no gradient:
    x (..., D).
    """
    return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return]


class _RMSNorm(torch.autograd.Function):
    """Keeps x and 1 / rms(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        normed, scale = norm_forward(x, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return normed

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None]:
        return norm_backward(outputs[0], *ctx.saved_tensors), None, None


def norm_forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """`rms_norm` and, in float32 at least, 1 / rms(x), (..., 1)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    scale = (wide * wide).mean(dim=-1, keepdim=True).add_(eps).rsqrt_()
    return (wide * scale).to(weight.dtype).mul_(weight), scale


def norm_backward(slope: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """The gradient towards x: with g the slope times the weight and n = x / rms(x), (g - n mean(g n)) / rms(x)."""
    pulled = (slope * weight).to(scale.dtype)
    common = (pulled * x).sum(dim=-1, keepdim=True).mul_(scale * scale / x.shape[-1])
    return pulled.addcmul_(x.to(scale.dtype), common, value=-1).mul_(scale).to(x.dtype)
