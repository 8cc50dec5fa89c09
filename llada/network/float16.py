"""How a float16 network keeps within float16, which ends at 65,504."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOAT16_INPUTS = 64.0
"""Of a row of 12,288 weights of mean size 0.05, inputs so large add up to 39,000 at the very most."""


def within_float16(linear: nn.Module, x: Tensor) -> Tensor:
    """linear(x) in float32, (..., out), for float16 weights and an x (..., in) or a result that float16 cannot hold.

    Each position is divided by the power of two that brings its values to `FLOAT16_INPUTS` at the most, and its result
    multiplied by it: exact, because the map is linear (with an adapter, too).
    """
    largest = x.detach().abs().amax(dim=-1, keepdim=True).float()
    scale = torch.exp2(torch.ceil(torch.log2(largest / FLOAT16_INPUTS)).clamp(min=0))
    return linear((x / scale).to(torch.float16)).float() * scale
