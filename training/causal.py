"""The causal twin's side of a training: the same rows in the same batches, without noise, and an exact validation.

Everything else (adapters, optimizer, budget, checkpoints) is the diffusion model's. An answer ends with its stop token;
the EOS tail, which teaches a diffusion model what stands behind the stop, has no counterpart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causal.loss import causal_loss, token_losses
from llada.diffusion.loss import Normalizer
from training.batching import Batch, Rows, collate
from training.config import Objective
from training.validation import Draw, DrawnBatch


@dataclass(frozen=True)
class CausalMicroBatch:
    """What one forward pass of one process gets; `rows.maskable` says which tokens count."""

    rows: Batch

    def to(self, device: torch.device) -> CausalMicroBatch:
        return CausalMicroBatch(self.rows.to(device))


class CausalBatch:
    """The rows of one optimizer step over all processes, sorted by length; as `GlobalBatch`, without noise.

    Args:
        rows: the training split. indices: the batch's rows in it.
        pad: the token behind a row's end. objective: "sequence" takes the prompt in, all others the answer alone.
    """

    def __init__(self, rows: Rows, indices: np.ndarray, pad: int, objective: Objective) -> None:
        self.ids = [rows.ids[index] for index in indices]
        self._tokens = [rows.tokens[index] for index in indices]
        self._lengths = np.array([len(tokens) for tokens in self._tokens], dtype=np.int64)
        # The first token of a row has nothing to its left.
        self._first = np.maximum(1, 0 if objective == "sequence" else rows.prompt_lengths[indices])
        self._first = np.broadcast_to(self._first, self._lengths.shape)
        self._pad = pad

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Positions that are not padding."""
        return int(self._lengths.sum())

    def denominator(self, normalizer: Normalizer) -> float:
        """What the summed loss of all parts is divided by, see `causal_loss`."""
        if normalizer == "answer_length":
            return float(len(self))
        return float(max(1, int((self._lengths - self._first).sum())))

    def micro_batch(self, positions: np.ndarray) -> CausalMicroBatch:
        """The rows at these positions; for none a row that counts nothing, which keeps its process in the reduction."""
        idle = len(positions) == 0
        positions = np.array([0]) if idle else positions
        tokens = [self._tokens[position] for position in positions]
        tails = np.zeros(len(positions), dtype=np.int64)
        batch = collate(tokens, self._first[positions], tails, self._pad, self._pad)
        if idle:
            batch = replace(batch, maskable=torch.zeros_like(batch.maskable))
        return CausalMicroBatch(batch)


class CausalObjective(nn.Module):
    """The causal loss of a training batch's share of the global batch; or the token losses of a validation."""

    def __init__(self, model: Any, normalizer: Normalizer, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.normalizer: Normalizer = normalizer

    def forward(self, batch: CausalMicroBatch | Batch, total: float = 1.0) -> Tensor:
        """The loss, see `causal.loss`; of a validation batch the cross-entropy of each answer token, (M,) float64 on
        the CPU, row by row.
        """
        rows = batch.rows if isinstance(batch, CausalMicroBatch) else batch
        with torch.autocast(rows.input_ids.device.type, self.dtype, enabled=self.dtype != torch.float32):
            if isinstance(batch, Batch):
                return token_losses(self.model, rows.input_ids, rows.maskable)[0].double().cpu()
            return causal_loss(self.model, rows.input_ids, rows.maskable, self.normalizer, total=total)


def answer_draws(rows: Rows) -> list[Draw]:
    """One per row, the whole answer: nothing is drawn, but what sums validations up takes draws."""
    ends = zip(rows.tokens, np.maximum(1, rows.prompt_lengths), strict=True)
    return [Draw(row, np.arange(int(first), len(tokens)), 1.0) for row, (tokens, first) in enumerate(ends)]


def answer_batches(
    rows: Rows, draws: Sequence[Draw], batch_size: int, pad: int, device: torch.device
) -> list[DrawnBatch]:
    """The rows in batches of like length; made once and used at every validation."""
    order = sorted(range(len(draws)), key=lambda i: (len(rows.tokens[i]), i))
    batches = []
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        first = np.array([draws[i].masked[0] for i in indices])
        tails = np.zeros(len(indices), dtype=np.int64)
        batch = collate([rows.tokens[i] for i in indices], first, tails, pad, pad).to(device)
        batches.append(DrawnBatch(indices, batch, [len(draws[i].masked) for i in indices]))
    return batches
