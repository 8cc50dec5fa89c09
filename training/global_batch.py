"""What one optimizer step trains on: rows, EOS tails and noise, all pure functions of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llada.diffusion.loss import Normalizer
from llada.diffusion.noise import noise_levels, noise_mask
from training.batching import Batch, Rows, collate, tail_lengths

_TAIL_STREAM = 0x7461696C  # apart from the noise


@dataclass(frozen=True)
class StepNoise:
    """The noise of one optimizer step: a pure function of (seed, step), whatever the number of processes."""

    seed: int
    step: int
    slots: np.ndarray  # (rows,) the noise row of each position of the length-sorted global batch
    levels: Tensor  # (rows,) float32, the mask probability at each position
    tails: np.ndarray  # (rows,) float64 in [0, 1), from which random EOS tails are drawn

    def masks(self, positions: np.ndarray, maskable: Tensor) -> Tensor:
        """(B, L) bool for the rows at these positions of the global batch."""
        slots = self.slots[positions].tolist()
        return noise_mask(self.seed, self.step, slots, maskable, self.levels[torch.from_numpy(positions)])


def step_noise(seed: int, step: int, rows: int, stratified: bool) -> StepNoise:
    """Noise levels of a global batch; shuffled, because its rows are sorted by length and strata are in order."""
    slots = np.random.default_rng([seed, step]).permutation(rows)
    levels = noise_levels(seed, step, slots.tolist(), global_batch_size=rows, stratified=stratified)
    tails = np.random.default_rng([seed, step, _TAIL_STREAM]).random(rows)
    return StepNoise(seed, step, slots, levels, tails)


def loss_denominator(
    normalizer: Normalizer, batch_of_all: Batch | None, noise: StepNoise, answers: np.ndarray
) -> float:
    """What the global batch's summed loss is divided by, see `masked_diffusion_loss`.

    Args:
        batch_of_all: the whole global batch, padded; needed for "masked_count" alone.
        answers: (rows,) maskable tokens of each row.
    """
    if normalizer == "answer_length":
        return float(len(answers))
    if normalizer == "batch_tokens":
        return float(max(1, answers.sum()))
    assert batch_of_all is not None
    return float(max(1, int(noise.masks(np.arange(len(answers)), batch_of_all.maskable).sum())))


@dataclass(frozen=True)
class MicroBatch:
    """What one forward pass of one process gets: B rows of L positions."""

    rows: Batch
    levels: Tensor  # (B,) float32 mask probabilities
    mask: Tensor  # (B, L) bool, on the CPU

    def to(self, device: torch.device) -> MicroBatch:
        """With the rows on the device; levels and mask stay on the CPU."""
        return replace(self, rows=self.rows.to(device))


class GlobalBatch:
    """The rows of one optimizer step over all processes, sorted by length.

    Args:
        rows: the training split. indices: the batch's rows in it.
        eos_tail: the policy `train.eos_tail`. config: LLaDAConfig of the network.
    """

    def __init__(self, rows: Rows, indices: np.ndarray, noise: StepNoise, eos_tail: str, config: Any) -> None:
        self.noise = noise
        self.ids = [rows.ids[index] for index in indices]
        self._tokens = [rows.tokens[index] for index in indices]
        self._prompts = rows.prompt_lengths[indices]
        self._lengths = np.array([len(tokens) for tokens in self._tokens], dtype=np.int64)
        self._tails = tail_lengths(self._lengths, eos_tail, config.max_sequence_length, noise.tails)
        self._eos = int(config.eos_token_id)
        self._pad = self._eos if config.pad_token_id is None else int(config.pad_token_id)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Positions that are not padding."""
        return int((self._lengths + self._tails).sum())

    def denominator(self, normalizer: Normalizer) -> float:
        """What the summed loss of all parts is divided by."""
        whole = self._padded(np.arange(len(self))) if normalizer == "masked_count" else None
        return loss_denominator(normalizer, whole, self.noise, self._lengths + self._tails - self._prompts)

    def micro_batch(self, positions: np.ndarray) -> MicroBatch:
        """The rows at these positions; for none a row without masks, which keeps its process in the reduction."""
        idle = len(positions) == 0
        positions = np.array([0]) if idle else positions
        rows = self._padded(positions)
        mask = self.noise.masks(positions, rows.maskable)
        levels = self.noise.levels[torch.from_numpy(positions)]
        return MicroBatch(rows, levels, torch.zeros_like(mask) if idle else mask)

    def _padded(self, positions: np.ndarray) -> Batch:
        tokens = [self._tokens[position] for position in positions]
        return collate(tokens, self._prompts[positions], self._tails[positions], self._eos, self._pad)
