"""The validation bound during training: the same noise at every validation, for every adapter.

It is the likelihood bound of `llada.diffusion.bound` per answer token: the mean cross-entropy of exactly l masked
tokens of the answer's N, with l uniform on 1..N. One random draw would be mostly noise, so each row has K fixed draws
whose l are stratified over 1..N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llada.diffusion.bound import MaskedBatch, masked_batch
from training.batching import Batch, Rows

VALIDATION_SEED = 0
"""Of the validation's rows and noise: not the run's own, so that runs of different seeds are measured alike."""
NOISE_BINS = 5
_STREAM = 0x56414C  # apart from the noise of training


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
    squares: tuple[float | None, ...] = ()  # in the same bins, the mean square of a draw's mean cross-entropy
    not_finite: tuple[int, ...] = ()  # rows whose loss is NaN or infinite

    def facts(self) -> dict[str, Any]:
        return {"loss": self.loss, "low": self.low, "high": self.high, "by_noise_level": self.by_noise}


@dataclass(frozen=True)
class DrawnBatch:
    """Draws of like length that share a forward pass."""

    draws: list[int]  # indices into the list of draws; none in an idle batch
    masked: MaskedBatch | Batch  # the causal twin's has nothing masked
    counts: list[int]  # masked tokens per draw


def chosen_rows(rows: Rows, limit: int | None) -> Rows:
    """At most `limit` rows of the validation split, the same for every run."""
    if limit is None or limit >= len(rows):
        return rows
    chosen = np.random.default_rng(VALIDATION_SEED).permutation(len(rows))[:limit]
    return rows.take(np.sort(chosen).tolist())


def validation_draws(rows: Rows, draws: int, seed: int = VALIDATION_SEED) -> list[Draw]:
    """K draws per row as a pure function of (seed, row position): l stratified over 1..N, then l of the N answer
    positions.
    """
    result = []
    for row, (tokens, prompt) in enumerate(zip(rows.tokens, rows.prompt_lengths, strict=True)):
        random = np.random.default_rng([seed, _STREAM, row])
        count = len(tokens) - int(prompt)
        offset = random.random()
        for k in range(draws):
            masked = 1 + int(count * (k + offset) / draws)
            positions = int(prompt) + random.permutation(count)[:masked]
            result.append(Draw(row, np.sort(positions), masked / count))
    return result


def drawn_batches(
    rows: Rows, draws: Sequence[Draw], batch_size: int, mask_token_id: int, device: torch.device
) -> list[DrawnBatch]:
    """The draws in batches of like length; made once and used at every validation."""
    order = sorted(range(len(draws)), key=lambda i: (len(rows.tokens[draws[i].row]), i))
    batches = []
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        tokens = [torch.from_numpy(rows.tokens[draws[i].row]).long() for i in indices]
        positions = [torch.from_numpy(draws[i].masked) for i in indices]
        masked = masked_batch(tokens, positions, mask_token_id, device)
        batches.append(DrawnBatch(indices, masked, [len(one) for one in positions]))
    return batches


def share_of(batches: Sequence[DrawnBatch], rank: int, processes: int) -> list[DrawnBatch]:
    """The batches of one process, as many on each: under FSDP every forward pass gathers weights from all of them, so
    a process that has fewer repeats the first and shortest batch, and counts nothing of it.
    """
    own = list(batches[rank::processes])
    missing = -(-len(batches) // processes) - len(own)
    return own + [replace(batches[0], draws=[])] * missing


def validate(
    token_losses: Callable[[Any], Tensor],
    batches: Sequence[DrawnBatch],
    draws: Sequence[Draw],
    rows: int,
    reduce: Callable[[Tensor], Tensor],
) -> Validation:
    """Evaluate this process's batches, sum over the processes, and summarise.

    Args:
        token_losses: the cross-entropy of each masked token of a batch, (M,) float64, row by row.
        batches: those of this process.
        draws: all draws.
        reduce: sums a float64 vector over the processes.
    """
    values = torch.zeros(len(draws), dtype=torch.float64)
    for batch in batches:
        losses = token_losses(batch.masked).split(batch.counts)
        for index, own in zip(batch.draws, losses, strict=False):  # nothing of an idle batch
            values[index] = own.mean()
    return summarise(reduce(values).numpy(), draws, rows)


def summarise(values: np.ndarray, draws: Sequence[Draw], rows: int) -> Validation:
    """From the mean masked cross-entropy of each draw to the bound with its interval over rows."""
    owner = np.array([draw.row for draw in draws])
    per_row = np.bincount(owner, weights=values, minlength=rows) / np.bincount(owner, minlength=rows)
    mean = float(per_row.mean())
    with np.errstate(invalid="ignore"):  # an infinite loss is the caller's to report
        half = 1.959964 * float(per_row.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    bins = np.minimum((np.array([draw.share for draw in draws]) * NOISE_BINS - 1e-9).astype(int), NOISE_BINS - 1)
    by_noise, squares = (
        [float(found[bins == i].mean()) if (bins == i).any() else None for i in range(NOISE_BINS)]
        for found in (values, values**2)
    )
    not_finite = tuple(np.flatnonzero(~np.isfinite(per_row)).tolist())
    return Validation(mean, mean - half, mean + half, by_noise, tuple(squares), not_finite)
