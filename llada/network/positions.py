"""Where a row's positions count from, how RoPE turns by them, and which keys are seen.

Shapes: B rows, L positions, H heads, D_head width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llada.network.configuration import LLaDAConfig


def rotary_table(
    position_ids: Tensor, config: LLaDAConfig, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """cos and sin of RoPE's angles, (rows, 1, L, D_head), for positions (rows, L); the two halves are equal.

    Computed in float32, and so they stay where the config rotates in full precision; else cast to the activations'
    `dtype`.
    """
    steps = torch.arange(0, config.head_dim, 2, device=position_ids.device, dtype=torch.float32)
    frequencies = 1.0 / (config.rope_theta ** (steps / config.head_dim))  # (D_head / 2,)
    angles = position_ids[:, None, :, None].to(torch.float32) * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    kept = torch.float32 if config.rope_full_precision else dtype
    return angles.cos().to(kept), angles.sin().to(kept)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-split, in the wider dtype of x and the table, cast back: x (B, H, L, D_head)."""
    if x.device.type == "cuda" and cos.dtype == torch.float32 and not torch.compiler.is_compiling():
        return _Rotation.apply(x, cos, sin)  # type: ignore[no-any-return]
    wide = x.to(torch.promote_types(x.dtype, cos.dtype))
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


class _Rotation(torch.autograd.Function):
    """The same in float32 for a GPU that does not compile: a quarter of the memory traffic; back it turns by minus the
    angle.

    Each half is written straight into its place: x1 cos - x2 sin and x2 cos + x1 sin.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None]:
        cos, sin = ctx.saved_tensors
        return turned(outputs[0], cos, sin, -1), None, None


def turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    """x (B, H, L, D_head) turned by the table's angles, or by minus them."""
    result = torch.empty_like(x)
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[..., : first.shape[-1]], sin[..., : first.shape[-1]]  # the two halves of a table are equal
    low, high = result.chunk(2, dim=-1)
    torch.addcmul(first * cos, second, sin, value=-sign, out=low)
    torch.addcmul(second * cos, first, sin, value=sign, out=high)
    return result


def key_mask(attention_mask: Tensor | None, x: Tensor, total: int) -> Tensor | None:
    """(B, L) bool, True where a key is seen; None when all are and that is known without waiting for a device."""
    if attention_mask is None:
        return None
    if attention_mask.shape != (x.shape[0], total):
        raise ValueError(f"attention_mask: shape {tuple(attention_mask.shape)}; must be {(x.shape[0], total)}")
    real = attention_mask.to(device=x.device, dtype=torch.bool)
    if real.device.type == "cpu" and bool(real.all()):
        return None
    # A row without a single real token sees everything: softmax over nothing would be NaN.
    return real | ~real.any(dim=1, keepdim=True)


def first_position(real: Tensor, config: LLaDAConfig) -> Tensor:
    """(B, 1) int64: the place of real (B, L) bool from which a row's positions count."""
    if config.positions_from_edge:
        return torch.zeros(len(real), 1, dtype=torch.int64, device=real.device)
    return real.int().argmax(dim=1, keepdim=True)


def positions_from(start: Tensor | None, total: int, device: torch.device) -> Tensor:
    """(1 or B, L) int64, counted from each row's `start`, (B, 1); padding before it has negative positions."""
    positions = torch.arange(total, device=device)[None]
    return positions if start is None else positions - start
