"""The second look of rule `revoke`: what would the model say at a token's place if it did not see that token?

Source: Hong et al. 2025, arXiv 2507.18578 (WINO). A shadow of the block, mask tokens at the block's own positions, runs
in the same forward pass: the shadow of place j sees every token of the sequence but the one at j, and itself; nothing
else sees the shadow. The block's own states are thereby those of an ordinary pass.

The shadow stands right behind its block: ids [0, end) + shadow + [end, T). A slice that a cache recomputes, from the
block on or the block alone, then holds the shadow too. Positions are explicit, so order does not matter to the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llada.network.cache import KeyValueCache
from llada.network.positions import first_position, rotary_table


def hidden_with_shadow(
    model: Any,
    ids: Tensor,
    attention: Tensor | None,
    begin: int,
    end: int,
    mask_id: int,
    cache: KeyValueCache | None = None,
    first: int = 0,
    last: int | None = None,
) -> Tensor:
    """Hidden states after the final norm of what is computed, (R, last - first + K, D): the block's K are those from
    begin - first on, the shadow's K stand right behind them.

    Args:
        model: an LLaDAModelLM.
        ids: (R, T) int64, the whole sequence. attention: (R, T) bool or None.
        begin, end: the block is [begin, end), K long.
        cache: of length T + K, the shadow's places included.
        first, last: the slice of the sequence to compute, without counting the shadow; it holds the block.
    """
    (R, T), K = ids.shape, end - begin
    last = T if last is None else last
    shadow = torch.full((R, K), mask_id, dtype=ids.dtype, device=ids.device)
    places = torch.arange(T, device=ids.device)
    order = torch.cat((places[:end], places[begin:end], places[end:]))  # (T + K,)
    is_shadow = torch.zeros(T + K, dtype=torch.bool, device=ids.device)
    is_shadow[end : end + K] = True
    real = torch.ones_like(ids, dtype=torch.bool) if attention is None else attention
    seen = _who_sees_whom(order, is_shadow)[None] & real[:, None, order]  # (R, T + K, T + K)

    piece = slice(first, last + K)
    x = model.model.embedding(torch.cat((ids[:, :end], shadow, ids[:, end:]), dim=1)[:, piece])  # (R, S, D)
    start = first_position(real, model.config)
    cos, sin = rotary_table((order[None] - start)[:, piece], model.config, x.dtype)
    mask = seen[:, None, piece]  # (R, 1, S, T + K)
    for block in model.model.blocks:
        x = block(x, cos, sin, mask, cache, first)
    return model.model.final_norm(x)


def _who_sees_whom(order: Tensor, is_shadow: Tensor) -> Tensor:
    """(T + K, T + K) bool, queries by keys."""
    same_place = order[:, None] == order[None]
    itself = torch.eye(len(order), dtype=torch.bool, device=order.device)
    return torch.where(is_shadow[:, None], (~same_place & ~is_shadow[None]) | itself, ~is_shadow[None])
