"""Two kernels for a GPU: RoPE, and RMSNorm with its weight, each in one pass over memory.

PyTorch's own operations pass several times over what is rotated and, because the table is broadcast and of another
type, at a third of the memory's speed: on an H200 they were a seventh of a forward pass at 8 B. torch.compile fuses
them as well, after a minute; these are ready within seconds.

Without Triton (it comes with PyTorch for CUDA on Linux), or where it finds no C compiler for its launchers, the callers
use PyTorch's operations. Numbers are rounded where the published models round, so both ways agree to the last bits of
float32.
"""

from __future__ import annotations

import functools
import logging
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


def usable(x: Tensor) -> bool:
    """Do the kernels take a tensor like this, here and now? They compute in float32, so none in float64."""
    fits = x.device.type == "cuda" and x.dtype != torch.float64
    return fits and not torch.compiler.is_compiling() and _compiled() is not None


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-split, in float32: x (B, H, L, D_head), cos and sin (1 or B, 1, L, D_head) float32."""
    return _Rotation.apply(x, cos, sin)  # type: ignore[no-any-return]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) in float32, rounded to the weight's type, times the weight, which needs no gradient: x (..., D)."""
    return _RMSNorm.apply(x, weight, eps)  # type: ignore[no-any-return]


class _Rotation(torch.autograd.Function):
    """Back it turns by minus the angle."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1.0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(outputs[0], cos, sin, -1.0), None, None


class _RMSNorm(torch.autograd.Function):
    """Keeps x and 1 / rms(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        result = torch.empty(x.shape, dtype=weight.dtype, device=x.device)
        scale = torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device)
        _launch("normalise", x, scale.numel(), x, weight, result, scale, width, eps, WIDTH=_power(width))
        ctx.save_for_backward(x, weight, scale)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None]:
        x, weight, scale = ctx.saved_tensors
        result = torch.empty_like(x)
        width = x.shape[-1]
        given = (x, weight, outputs[0].contiguous(), scale, result, width)
        _launch("normalise_back", x, scale.numel(), *given, WIDTH=_power(width))
        return result, None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: float) -> Tensor:
    rows, heads, length, width = x.shape
    result = torch.empty_like(x)  # of the strides of x where they leave no gaps
    shared = cos.shape[0] == 1
    strides = (*x.stride(), *result.stride(), 0 if shared else cos.stride(0), cos.stride(2), cos.stride(3))
    given = (x, cos, sin, result, sign, heads, length, width // 2, *strides)
    _launch("turn", x, rows * length, *given, HEADS=_power(heads), HALF=_power(width // 2))
    return result


def _power(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()


def _launch(name: str, place: Tensor, programs: int, *given: Any, **sizes: int) -> None:
    kernels = _compiled()
    assert kernels is not None
    if programs:
        with torch.cuda.device_of(place):
            kernels[name][(programs,)](*given, **sizes)


@functools.cache
def _compiled() -> dict[str, Any] | None:
    """The kernels by name, once one of them has run; None where they cannot be had, of which the log tells."""
    if find_spec("triton") is None:
        return None
    from llada.network.kernels import in_triton

    found = {name: getattr(in_triton, name) for name in ("turn", "normalise", "normalise_back")}
    if torch.cuda.is_available() and (fault := in_triton.fault()) is not None:
        _log.warning("Triton cannot compile here (%s); PyTorch's slower operations are used", fault)
        return None
    return found
