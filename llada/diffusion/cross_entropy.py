"""Cross-entropy through a large head without its logits: a slice of the vocabulary at a time, the gradient on the way.

The head of LLaDA has 126,464 words: the logits of 1,024 tokens are half a gigabyte, and the plain recipe keeps about
four such tensors. While adapters train, the head is frozen, so only the gradient towards the hidden states is
needed, and it is softmax attention with the head's rows as keys and as values:

    Z_n = sum_v exp(h_n . w_v)      CE_n = log Z_n - h_n . w_y      dCE_n / dh_n = sum_v exp(h_n . w_v) w_v / Z_n - w_y

So both are computed as flash attention computes its output (Milakov & Gimelshein, 2018; Dao et al., 2022): one pass
over slices of the vocabulary with a running maximum, a running Z and a running sum, rescaled when the maximum grows.
A slice of logits exists only while it is used, in a buffer small enough for a CPU's cache, and the backward pass is
one multiplication.

Fused kernels of other libraries do the same in fewer passes over a slice. On an H200 at 8 B those passes take about
one percent of a training step (computed: five passes over the logits at 4.8 TB/s), so nothing is imported for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

# Logits at once, in bytes of float32. On the CPU they should stay in the cache, on a device they should fill it with
# work.
CHUNK_BYTES_CPU, CHUNK_BYTES_DEVICE = 8 * 2**20, 512 * 2**20
_ROWS_CPU, _ROWS_DEVICE = 1024, 8192  # rows that share one pass over the head
ALIGNED = 256  # words of a slice: a GPU's fast matrix products want rows that begin at a multiple of 16 bytes
_WHOLE_ROWS_BYTES_CPU = 64 * 2**20  # for heads that must be called with whole rows


def chunked_cross_entropy(head: nn.Module, hidden: Tensor, targets: Tensor, chunk_bytes: int | None = None) -> Tensor:
    """Cross-entropy of each row, (N,), in float32 at least; about `chunk_bytes` of logits exist at once.

    Args:
        head: the module from D to V. A plain frozen linear layer takes the path described above. Any other (trainable,
            quantised, adapted, offloaded) is called as it is, on as many whole rows as fit, and again in the
            backward pass.
        hidden: (N, D), any float dtype. targets: (N,) int64.
        chunk_bytes: None chooses by the device: a cache's size on the CPU, half a gigabyte otherwise.
    """
    on_cpu = hidden.device.type == "cpu"
    if isinstance(head, nn.Linear) and _is_plain_and_frozen(head):
        return _FrozenHead.apply(  # type: ignore[return-value]
            hidden,
            head.weight,
            targets,
            chunk_bytes or (CHUNK_BYTES_CPU if on_cpu else CHUNK_BYTES_DEVICE),
            _ROWS_CPU if on_cpu else _ROWS_DEVICE,
        )
    words = head.weight.shape[0] if isinstance(head, nn.Linear) else 2**17
    budget = chunk_bytes or (_WHOLE_ROWS_BYTES_CPU if on_cpu else CHUNK_BYTES_DEVICE)
    rows = max(1, budget // (4 * words))
    if hidden.shape[0] <= rows:
        return _cross_entropy(head, hidden, targets)
    pieces = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([checkpoint(_cross_entropy, head, *piece, use_reentrant=False) for piece in pieces])


def _is_plain_and_frozen(head: nn.Linear) -> bool:
    if type(head) is not nn.Linear or head.bias is not None or head.weight.requires_grad:
        return False
    # An accelerate hook moves offloaded weights in and out around the call, so such a head must be called.
    return head.weight.is_floating_point() and not hasattr(head, "_hf_hook")


def _cross_entropy(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    logits = head(hidden)
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), targets, reduction="none")


class _FrozenHead(torch.autograd.Function):
    """Row-wise cross-entropy; keeps dCE/dh, (N, D), and nothing of the size of the logits."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk_bytes: int, most_rows: int) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        losses = torch.empty(hidden.shape[0], dtype=wide, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], most_rows):
                rows = slice(start, min(start + most_rows, hidden.shape[0]))
                words = max(1, chunk_bytes // (4 * (rows.stop - rows.start)))
                words -= words % ALIGNED if words > ALIGNED else 0
                loss, slope = _one_pass(hidden[rows], weight, targets[rows], words, gradient is not None)
                losses[rows] = loss
                if gradient is not None:
                    gradient[rows] = slope
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        slope = None if gradient is None else (gradient * outputs[0][:, None]).to(gradient.dtype)
        return slope, None, None, None, None


def _one_pass(hidden: Tensor, weight: Tensor, targets: Tensor, words: int, with_slope: bool) -> tuple[Tensor, Tensor]:
    """Cross-entropy (R,) and its slope (R, D) towards `hidden`, both wide, in one pass over slices of `words` words."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    narrow = hidden.to(weight.dtype)  # (R, D)
    R, D = hidden.shape
    top = torch.full((R, 1), -torch.inf, dtype=wide, device=hidden.device)
    total = torch.zeros_like(top)
    pulled = torch.zeros(R, D if with_slope else 0, dtype=wide, device=hidden.device)
    buffer = torch.empty(R * min(words, len(weight)), dtype=wide, device=hidden.device)
    aimed = torch.zeros_like(top)  # the target's logit, from the slice that holds it, so rounded as in Z
    for first, part in zip(range(0, len(weight), words), weight.split(words), strict=True):  # (W, D)
        logits = buffer[: R * len(part)].view(R, len(part))
        if weight.dtype == wide:
            torch.mm(narrow, part.t(), out=logits)
        else:
            logits.copy_(narrow @ part.t())
        place = targets[:, None] - first
        here = logits.gather(1, place.clamp(0, len(part) - 1))
        aimed = torch.where((place >= 0) & (place < len(part)), here, aimed)
        higher = torch.maximum(top, logits.amax(dim=1, keepdim=True))
        rescale = (top - higher).exp_()
        logits.sub_(higher).exp_()
        total.mul_(rescale).add_(logits.sum(dim=1, keepdim=True))
        if with_slope:
            pulled.mul_(rescale)
            if weight.dtype == wide:
                pulled.addmm_(logits, part)
            else:
                pulled.add_(logits.to(weight.dtype) @ part)
        top = higher
    losses = (total.log() + top - aimed).squeeze(1)
    return losses, (pulled.div_(total).sub_(weight[targets]) if with_slope else pulled)
