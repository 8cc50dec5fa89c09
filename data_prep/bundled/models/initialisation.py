"""Starting weights for the small base, chosen so that a million tokens are enough to learn from context.

From the usual random weights such a model spends most of that text on word frequencies before any head finds a
neighbour or copies a word. Here

- embeddings have unit variance plus one direction common to all tokens, through which a head can look at a *place*
  without knowing what stands there;
- each head of the first block begins as a look at one neighbour (one or two tokens to the left or right): along the
  common direction, the key is the query turned by the neighbour's RoPE angle, so the score peaks there;
- the head's row of a token is a small multiple of that token's own part of the embedding, and the last block's
  attention begins as the mean of the embeddings in view: a word of the context begins a little likelier than others;
- the mask token begins as the common direction alone, so by itself it asks for no token;
- all other branches end in zeros, as is usual for short trainings: the residual stream begins as the embeddings.

Everything stays trainable and nothing differs from LLaDA's network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llada.network.configuration import LLaDAConfig
from llada.network.modeling import LLaDAModelLM

NEIGHBOURS = (-1, 1, -2, 2)
SHARPNESS = 8.0
"""Largest attention score that a neighbour's head begins with."""
RANDOM_SHARE = 0.3
"""Scale of the random part of query and key in such a head, and of the last block's queries."""
HEAD_SCALE = 0.2
"""The head's rows over the own parts of the embeddings."""
SLOWEST_TURN = 0.02
"""Radians per token below which a RoPE frequency does not tell neighbours apart."""


@torch.no_grad()
def initialise(model: LLaDAModelLM, neighbours: Sequence[int] = NEIGHBOURS, head_scale: float = HEAD_SCALE) -> None:
    """Overwrite the weights, drawing from torch's global generator (seed it, and fork it, around the call).

    Args:
        neighbours: where the first block's heads begin to look, in tokens to the right; taken in turn.
        head_scale: of the head's rows over the own parts of the embeddings.
    """
    transformer = model.model.transformer
    embedding: Tensor = transformer.wte.weight  # type: ignore[assignment]
    common = torch.randn(model.config.d_model)
    own = _own_parts(embedding.shape, common)
    embedding.copy_(own + common)
    embedding[model.config.mask_token_id] = common * math.sqrt(2)
    transformer.ff_out.weight.copy_(head_scale * own)  # type: ignore[operator]
    for layer, block in enumerate(transformer.blocks):
        for linear in (block.q_proj, block.k_proj, block.v_proj, block.ff_proj, block.up_proj):
            linear.weight.normal_(0.0, 1 / math.sqrt(model.config.d_model))  # type: ignore[union-attr, operator]
        block.attn_out.weight.zero_()  # type: ignore[union-attr, operator]
        block.ff_out.weight.zero_()  # type: ignore[union-attr, operator]
        if layer == 0:
            _look_at_neighbours(block.q_proj.weight, block.k_proj.weight, common, model.config, neighbours)  # type: ignore[union-attr, arg-type]
    _average_the_context(transformer.blocks[-1])  # type: ignore[index]


def _own_parts(shape: torch.Size, common: Tensor) -> Tensor:
    """Random rows (V, D) of unit root mean square, orthogonal to the common direction."""
    direction = common / common.norm()
    own = torch.randn(shape)
    own -= torch.outer(own @ direction, direction)
    return own / own.square().mean(dim=1, keepdim=True).sqrt()


def _average_the_context(block: Any) -> None:
    """Values and output are inverse rotations, and queries are small: the branch adds the mean of what is in view."""
    width = block.v_proj.weight.shape[0]
    rotation, _ = torch.linalg.qr(torch.randn(width, width))
    block.v_proj.weight.copy_(rotation)
    block.attn_out.weight.copy_(rotation.T)
    block.q_proj.weight.mul_(RANDOM_SHARE)


def _look_at_neighbours(
    query: Tensor, key: Tensor, common: Tensor, config: LLaDAConfig, neighbours: Sequence[int]
) -> None:
    """Set query and key weights (H * D_head, D) so that head h scores the place neighbours[h] highest."""
    width = config.head_dim
    turns = config.rope_theta ** (-torch.arange(0, width, 2) / width)  # (D_head / 2,), radians per token
    telling = (turns >= SLOWEST_TURN).float()
    size = math.sqrt(SHARPNESS * math.sqrt(width) / float(telling.sum()))
    # After the norm each token has the common direction in it with this length (unit noise plus a unit common part).
    direction = common / common.norm() / math.sqrt(config.d_model / 2)
    for head in range(config.n_heads):
        offset = neighbours[head % len(neighbours)]
        look = torch.cat((telling, torch.zeros_like(telling))) * size
        turned = torch.cat((torch.cos(turns * offset), -torch.sin(turns * offset))) * telling.repeat(2) * size
        rows = slice(head * width, (head + 1) * width)
        query[rows] = RANDOM_SHARE * query[rows] + torch.outer(look, direction)
        key[rows] = RANDOM_SHARE * key[rows] + torch.outer(turned, direction)
