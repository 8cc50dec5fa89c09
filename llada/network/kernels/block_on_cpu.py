"""A block on a CPU as one function, forward and back, for rows as short as a small network's.

There the many small operations of a block cost as much as its matrix products. So q, k, v are one product and so are
gate and up; RoPE is one complex multiplication, which also lays heads side by side; attention is two batched products,
because scaled_dot_product_attention's kernel cuts short rows into pieces that are too small for a matrix product; the
closed form of each norm goes backwards; residual sums are part of the products.

    weights = BlockWeights.of(block)
    y, kept = forward(weights, x, cos, sin, mask, keep)
    to_x, slopes = backward(weights, kept, to_y)         # G of a product's weight: slope^T input

RoPE turns number i of a head with number i + D_head / 2. As complex numbers the two must lie beside each other, so the
rows of the weights of q and k are put `in_pairs`; the products of queries and keys stay what they are.

Shapes: B rows, L positions, N = B L, M of them that go on behind attention, D width, I inner width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from llada.network.kernels.on_cpu import norm_backward, norm_forward

LONGEST = 128
"""Positions up to which this is the faster way: 0.85 of a step's time at 70, 0.87 at 128, as much at 256, on one thread
of an AVX-512 processor (`benchmarks/training/lora_forward.py`). It keeps B H L^2 probabilities.
"""

LARGEST = 2**20
"""Entries of a weight up to which copying it costs nothing beside the product, and small operations count."""


class BlockWeights(NamedTuple):
    """Matrices (out, in), norms (D,), of one dtype, float32 or float64."""

    attn_norm: Tensor
    ff_norm: Tensor
    qkv: Tensor  # (3 D, D), of q and k in pairs
    attn_out: Tensor
    gate_up: Tensor  # (2 I, D)
    ff_out: Tensor
    heads: int
    eps: float

    @property
    def products(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In the order of `Slopes`."""
        return self.qkv, self.attn_out, self.gate_up, self.ff_out

    @classmethod
    def of(cls, block: Any, products: Sequence[Tensor] | None = None) -> BlockWeights:
        """Of a `LLaDABlock`; `products`, in the order above, in place of those of its plain layers."""
        norms = block.part("attn_norm"), block.part("ff_norm")
        qkv, attn_out, gate_up, ff_out = _plain_products(block) if products is None else products
        parts = (norms[0].weight, norms[1].weight, qkv, attn_out, gate_up, ff_out)
        return cls(*parts, block.n_heads, norms[0].eps)


def _plain_products(block: Any) -> tuple[Tensor, ...]:
    """The weights of plain layers, copied where several make one."""
    names = ("q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out")
    q, k, v, attn_out, gate, up, ff_out = (block.part(name).weight for name in names)
    qkv = torch.cat((in_pairs(q, block.n_heads), in_pairs(k, block.n_heads), v))
    return qkv, attn_out, torch.cat((gate, up)), ff_out


class Kept(NamedTuple):
    """What the way back needs besides the weights."""

    x: Tensor  # (N, D)
    normed: Tensor  # (N, D)
    scale: Tensor  # (N, 1), 1 / rms(x)
    turns: Tensor  # (1 or B, L, D_head / 2) complex
    query: Tensor  # (B H, L, D_head), as are key and value
    key: Tensor
    value: Tensor
    probabilities: Tensor  # (B H, L, L)
    attended: Tensor  # (M, D), as are the next two
    middle: Tensor
    middle_normed: Tensor
    middle_scale: Tensor  # (M, 1)
    gate: Tensor  # (M, I), as are the next three
    up: Tensor
    active: Tensor  # silu(gate)
    inner: Tensor
    places: Tensor | None  # (M,)


class Slopes(NamedTuple):
    """Of each product its output's gradient and its input."""

    qkv: tuple[Tensor, Tensor]
    attn_out: tuple[Tensor, Tensor]
    gate_up: tuple[Tensor, Tensor]
    ff_out: tuple[Tensor, Tensor]


def fits(block: Any, x: Tensor, cos: Tensor) -> bool:
    """Is this block's forward pass the one that is written here, if its layers are linear maps?"""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and cos.dtype == x.dtype
        and x.shape[1] <= LONGEST
        and block.part("ff_proj").weight.numel() <= LARGEST
        and block.n_heads == block.n_kv_heads
        and block.part("attn_norm").weight.dtype == x.dtype
        and not block.part("attn_norm").weight.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def in_pairs(rows: Tensor, heads: int) -> Tensor:
    """(D, ...) of which rows i and i + D_head / 2 of every head come to lie beside each other."""
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def in_halves(rows: Tensor, heads: int) -> Tensor:
    """`in_pairs` undone."""
    return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def forward(
    weights: BlockWeights,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    mask: Tensor | None = None,
    keep: slice | Tensor | None = None,
) -> tuple[Tensor, Kept]:
    """As `LLaDABlock.forward` without a cache; what is kept serves `backward`, but with a slice as `keep`."""
    B, L, D = x.shape
    H = weights.heads
    half = D // H // 2
    flat = x.reshape(-1, D)
    normed, scale = norm_forward(flat, weights.attn_norm, weights.eps)
    qkv = torch.mm(normed, weights.qkv.t()).view(B, L, 3, H, 2 * half)
    turns = torch.complex(cos[:, 0, :, :half], sin[:, 0, :, :half])
    by_head = x.new_empty(3, B, H, L, 2 * half)
    pairs = torch.view_as_complex(qkv[:, :, :2].unflatten(-1, (half, 2))).permute(2, 0, 3, 1, 4)
    torch.mul(pairs, turns[:, None], out=torch.view_as_complex(by_head[:2].unflatten(-1, (half, 2))))
    by_head[2].copy_(qkv[:, :, 2].transpose(1, 2))
    query, key, value = by_head.flatten(1, 2)
    if isinstance(keep, slice):
        query, flat = query[:, keep], x[:, keep].reshape(-1, D)
    if mask is None:
        scores = torch.bmm(query, key.mT).mul_((2 * half) ** -0.5)
    else:
        unseen = x.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)  # (B, 1, 1, L)
        unseen = unseen.expand(B, H, 1, L).reshape(B * H, 1, L)
        scores = torch.baddbmm(unseen, query, key.mT, alpha=(2 * half) ** -0.5)
    probabilities = torch.softmax(scores, dim=-1)
    attended = torch.bmm(probabilities, value).unflatten(0, (B, H)).transpose(1, 2).reshape(-1, D)
    places = None
    if isinstance(keep, Tensor):
        places, attended = keep, attended.index_select(0, keep)
    middle = torch.addmm(flat if places is None else flat.index_select(0, places), attended, weights.attn_out.t())
    middle_normed, middle_scale = norm_forward(middle, weights.ff_norm, weights.eps)
    gate, up = torch.mm(middle_normed, weights.gate_up.t()).chunk(2, dim=1)
    active = F.silu(gate)
    inner = active * up
    y = torch.addmm(middle, inner, weights.ff_out.t())
    kept = Kept(
        flat, normed, scale, turns, query, key, value, probabilities, attended, middle, middle_normed, middle_scale,
        gate, up, active, inner, places,
    )  # fmt: skip
    return y if places is not None else y.view(B, -1, D), kept


def backward(weights: BlockWeights, kept: Kept, to_y: Tensor, wants_x: bool = True) -> tuple[Tensor | None, Slopes]:
    """The gradient towards x (B, L, D), None unless wanted; and what the gradients of the weights are made of."""
    D, H, L = len(weights.attn_norm), weights.heads, kept.query.shape[1]
    to_y = to_y.reshape(-1, D)

    to_inner = torch.mm(to_y, weights.ff_out)
    to_gate_up = to_inner.new_empty(len(to_inner), 2 * to_inner.shape[1])
    to_gate, to_up = to_gate_up.chunk(2, dim=1)
    torch.mul(to_inner, kept.active, out=to_up)
    torch.ops.aten.silu_backward.grad_input(to_inner.mul_(kept.up), kept.gate, grad_input=to_gate)
    to_normed = torch.mm(to_gate_up, weights.gate_up)
    to_middle = norm_backward(to_normed, kept.middle, weights.ff_norm, kept.middle_scale).add_(to_y)

    to_attended = torch.mm(to_middle, weights.attn_out)
    stream = to_middle
    if kept.places is not None:
        to_attended = to_attended.new_zeros(kept.x.shape).index_copy_(0, kept.places, to_attended)
        stream = to_attended.new_zeros(kept.x.shape).index_copy_(0, kept.places, to_middle)
    by_head = to_attended.view(-1, L, H, D // H).transpose(1, 2).flatten(0, 1)  # (B H, L, D_head)
    scaling = (D // H) ** -0.5
    to_heads = by_head.new_empty(3, *by_head.shape)
    torch.bmm(kept.probabilities.mT, by_head, out=to_heads[2])
    to_scores = torch.bmm(by_head, kept.value.mT)
    to_scores = torch.ops.aten._softmax_backward_data(to_scores, kept.probabilities, -1, to_scores.dtype)
    torch.baddbmm(to_heads[0], to_scores, kept.key, beta=0, alpha=scaling, out=to_heads[0])
    torch.baddbmm(to_heads[1], to_scores.mT, kept.query, beta=0, alpha=scaling, out=to_heads[1])
    to_heads = to_heads.unflatten(1, (-1, H))  # (3, B, H, L, D_head)
    to_qkv = to_attended.new_empty(to_heads.shape[1], L, 3, H, D // H)
    pairs = torch.view_as_complex(to_heads[:2].unflatten(-1, (-1, 2))).permute(1, 3, 0, 2, 4)
    back = kept.turns.conj().resolve_conj()[:, :, None, None]
    torch.mul(pairs, back, out=torch.view_as_complex(to_qkv[:, :, :2].unflatten(-1, (-1, 2))))
    to_qkv[:, :, 2].copy_(to_heads[2].transpose(1, 2))
    to_qkv = to_qkv.flatten(2).flatten(0, 1)  # (N, 3 D)
    to_x = None
    if wants_x:
        to_normed = torch.mm(to_qkv, weights.qkv)
        to_x = norm_backward(to_normed, kept.x, weights.attn_norm, kept.scale).add_(stream).view(-1, L, D)
    return to_x, Slopes(
        (to_qkv, kept.normed), (to_middle, kept.attended), (to_gate_up, kept.middle_normed), (to_y, kept.inner)
    )
