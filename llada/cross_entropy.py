"""Cross-entropy through a large head without its logits: a chunk of rows at a time, the gradient taken on the way.

The head of LLaDA has 126,464 words: the logits of 1,024 tokens are half a gigabyte, and the plain recipe keeps about
four copies. Here at most one chunk exists at any time. The head is frozen while adapters train, so only the gradient
towards the hidden states is needed, (N, D), and it is computed together with the loss; the backward pass is then one
multiplication.

    CE_n = log sum_v exp(h_n . w_v) - h_n . w_target        dCE_n / dh_n = (softmax(h_n W^T) - onehot_target) W

Fused kernels of other libraries do the same in fewer passes over a chunk; on an H200 at 8 B the passes cost about
one percent of a training step (computed: five passes of 0.5 GB per 1,024 tokens at 4.8 TB/s), so nothing is imported
for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

_CHUNK_BYTES = {"cpu": 16 * 2**20}
_CHUNK_BYTES_DEVICE = 512 * 2**20


def chunk_rows(words: int, device: torch.device, element_size: int = 4) -> int:
    """Rows per chunk so that one chunk of logits in float32 takes about 16 MiB on the CPU and 512 MiB on a device."""
    budget = _CHUNK_BYTES.get(device.type, _CHUNK_BYTES_DEVICE)
    return max(16, budget // (element_size * words))


def chunked_cross_entropy(head: nn.Module, hidden: Tensor, targets: Tensor, chunk_size: int | None = None) -> Tensor:
    """Cross-entropy of each row, (N,), in float32 at least; never more than `chunk_size` rows of logits at once.

    Args:
        head: the module from D to V. A plain frozen linear layer takes the path described above; any other (trainable,
            quantised, adapted, offloaded) is called as it is, chunk by chunk, and recomputed in the backward pass.
        hidden: (N, D), any float dtype. targets: (N,) int64.
        chunk_size: rows per chunk; None chooses by the device, see `chunk_rows`.
    """
    weight = getattr(head, "weight", None)
    rows = chunk_size or chunk_rows(weight.shape[0] if isinstance(weight, Tensor) else 2**17, hidden.device)
    if _is_plain_and_frozen(head):
        return _FrozenHead.apply(hidden, weight, targets, rows)  # type: ignore[return-value]
    if hidden.shape[0] <= rows:
        return _cross_entropy(head, hidden, targets)
    pieces = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([checkpoint(_cross_entropy, head, *piece, use_reentrant=False) for piece in pieces])


def _is_plain_and_frozen(head: nn.Module) -> bool:
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
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, rows: int) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        losses = torch.empty(hidden.shape[0], dtype=wide, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            target = targets[part, None]
            logits = F.linear(hidden[part], weight).to(wide)  # (rows, V)
            # In place from here on: one buffer becomes the shifted logits, their exponentials, the softmax, the
            # gradient.
            logits -= logits.amax(dim=1, keepdim=True)
            chosen = logits.gather(1, target).squeeze(1)
            total = logits.exp_().sum(dim=1)
            losses[part] = total.log() - chosen
            if gradient is not None:
                logits /= total[:, None]
                logits.scatter_add_(1, target, logits.new_full(target.shape, -1.0))
                gradient[part] = logits.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        if gradient is None:
            return None, None, None, None
        return (gradient * outputs[0][:, None]).to(gradient.dtype), None, None, None
