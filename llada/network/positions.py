"""Where a row's positions count from, how RoPE turns by them, and which keys are seen.

Shapes: B rows, L positions, H heads, D_head width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llada.network import kernels
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
    if cos.dtype == torch.float32 and kernels.usable(x):
        return kernels.rotate(x, cos, sin)
    wide = x.to(torch.promote_types(x.dtype, cos.dtype))
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


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
