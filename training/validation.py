"""The validation bound during training: the same noise at every validation, for every adapter.

The bound of LLaDA (section 2.3, equation 6 of arXiv 2502.09992): draw l uniformly from 1..N of an answer's N tokens,
mask exactly l of them; (N / l) times the cross-entropy summed over the masked tokens bounds the answer's negative
log-likelihood in expectation. Per answer token that is the mean cross-entropy of the masked tokens. One random draw
would be mostly noise, so each row has K fixed draws whose l are stratified over 1..N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.batching import Rows, collate

NOISE_BINS = 5
_SEED = 0x56414C  # apart from the noise of training


@dataclass(frozen=True)
class Draw:
    """One noised validation row: mask exactly `masked` (positions in the row)."""

    row: int
    masked: np.ndarray  # int64 positions
    share: float  # masked answer tokens over answer tokens


@dataclass(frozen=True)
class Validation:
    """A validation's outcome, in nats per answer token, averaged over rows."""

    loss: float
    low: float  # 95% interval over rows, normal approximation
    high: float
    by_noise: list[float | None]  # mean cross-entropy of masked tokens where the masked share is in (i/5, (i+1)/5]

    def facts(self) -> dict[str, Any]:
        return {"loss": self.loss, "low": self.low, "high": self.high, "by_noise_level": self.by_noise}


@dataclass(frozen=True)
class NoisedBatch:
    draws: list[int]  # indices into the list of draws
    noisy: Tensor  # (B, L) int64 with mask tokens
    attention_mask: Tensor | None  # (B, L)
    mask: Tensor  # (B, L) bool
    targets: Tensor  # (M,) int64, the clean tokens at the masked positions
    counts: list[int]  # masked tokens per row


def validation_draws(rows: Rows, draws: int, seed: int) -> list[Draw]:
    """K draws per row as a pure function of (seed, row position): l stratified over 1..N, then l of the N answer
    positions.
    """
    found = []
    for row, (tokens, prompt) in enumerate(zip(rows.tokens, rows.prompt_lengths, strict=True)):
        random = np.random.default_rng([seed, _SEED, row])
        count = len(tokens) - int(prompt)
        offset = random.random()
        for k in range(draws):
            masked = 1 + int(count * (k + offset) / draws)
            positions = int(prompt) + random.permutation(count)[:masked]
            found.append(Draw(row, np.sort(positions), masked / count))
    return found


def noised_batches(
    rows: Rows, draws: Sequence[Draw], batch_size: int, mask_id: int, pad_id: int, device: torch.device
) -> list[NoisedBatch]:
    """Pad the draws into batches of like length; made once and used at every validation."""
    order = sorted(range(len(draws)), key=lambda i: (len(rows.tokens[draws[i].row]), i))
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        taken = [draws[i].row for i in chosen]
        batch = collate(
            [rows.tokens[row] for row in taken],
            rows.prompt_lengths[taken],
            np.zeros(len(taken), np.int64),
            pad_id,
            pad_id,
        )
        mask = torch.zeros_like(batch.maskable)
        for i, index in enumerate(chosen):
            mask[i, torch.from_numpy(draws[index].masked)] = True
        batches.append(
            NoisedBatch(
                chosen,
                batch.input_ids.masked_fill(mask, mask_id).to(device),
                None if batch.attention_mask is None else batch.attention_mask.to(device),
                mask.to(device),
                batch.input_ids[mask].to(device),
                [len(draws[index].masked) for index in chosen],
            )
        )
    return batches


def validate(
    token_losses: Callable[[NoisedBatch], Tensor],
    batches: Sequence[NoisedBatch],
    draws: Sequence[Draw],
    rows: int,
    reduce: Callable[[Tensor], Tensor],
) -> Validation:
    """Evaluate this process's batches, sum over the processes, and summarise.

    Args:
        token_losses: the cross-entropy (M,) of each masked token of a batch, row by row.
        batches: those of this process.
        draws: all draws.
        reduce: sums a float64 vector over the processes.
    """
    values = torch.zeros(len(draws), dtype=torch.float64)
    for batch in batches:
        losses = token_losses(batch).double().cpu()
        for index, part in zip(batch.draws, losses.split(batch.counts), strict=True):
            values[index] = part.mean()
    return summarise(reduce(values).numpy(), draws, rows)


def summarise(values: np.ndarray, draws: Sequence[Draw], rows: int) -> Validation:
    """From the mean masked cross-entropy of each draw to the bound with its interval over rows."""
    owner = np.array([draw.row for draw in draws])
    per_row = np.bincount(owner, weights=values, minlength=rows) / np.bincount(owner, minlength=rows)
    mean = float(per_row.mean())
    half = 1.959964 * float(per_row.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    bins = np.minimum((np.array([draw.share for draw in draws]) * NOISE_BINS - 1e-9).astype(int), NOISE_BINS - 1)
    by_noise = [float(values[bins == i].mean()) if (bins == i).any() else None for i in range(NOISE_BINS)]
    return Validation(mean, mean - half, mean + half, by_noise)
