"""What one optimizer step trains on: rows, EOS tails, noise and objective, all pure functions of (seed, step).

Masks are `independent`, or `complementary`: every row comes twice in a step, with a mask and with its complement, so
that each of its tokens is supervised once. With p uniform on [eps, 1 - eps] so is 1 - p, and each of the two is an
unbiased estimate of the loss by itself.

Objectives, by what may be masked:

    answer    the answer and its EOS tail (LLaDA, arXiv 2502.09992, section 2.3)
    sequence  the prompt too, as in pretraining: a bound on the whole row's likelihood
    block     one block of the answer, those before it clean and those behind it all masked (arXiv 2508.19529): weighted
              by the number of blocks, a bound on the likelihood of writing block by block, as the sampler does

With `random_length` a share of the rows is cut behind a token of the answer, all alike probable, and has no end: of
these rows the loss is a bound on the likelihood of the answer's beginning, and no longer one of the whole answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llada.diffusion.importance import levels_of
from llada.diffusion.loss import Normalizer
from llada.diffusion.noise import BLOCK_STREAM, EPSILON, LENGTH_STREAM, level_uniforms, noise_mask, uniform
from training.batching import Batch, Rows, batch_of_step, collate
from training.config import Objective, TrainConfig

_TAIL_STREAM = 0x7461696C  # apart from the noise


@dataclass(frozen=True)
class StepNoise:
    """The noise of one optimizer step: a pure function of (seed, step), whatever the number of processes."""

    seed: int
    step: int
    slots: np.ndarray  # (rows,) the noise row of each position of the length-sorted global batch
    levels: Tensor  # (rows,) float32, the mask probability at each position
    weights: (
        Tensor  # (rows,) float32, of each position's loss: the uniform density of its level over the one drawn from
    )
    thresholds: Tensor  # (rows,) float32, a token is masked where its number is below; in a complement, where it is not
    complement: np.ndarray  # (rows,) bool
    tails: np.ndarray  # (rows,) float64 in [0, 1), from which random EOS tails are drawn

    def masks(self, positions: np.ndarray, maskable: Tensor) -> Tensor:
        """(B, L) bool for the rows at these positions of the global batch."""
        slots = self.slots[positions].tolist()
        mask = noise_mask(self.seed, self.step, slots, maskable, self.thresholds[torch.from_numpy(positions)])
        flipped = torch.from_numpy(self.complement[positions])[:, None]
        return torch.where(flipped, maskable.cpu().bool() & ~mask, mask)

    def blocks(self, counts: np.ndarray) -> np.ndarray:
        """(rows,) int64: which of so many blocks each row trains on, all alike probable."""
        draws = [uniform(self.seed, self.step, int(slot), BLOCK_STREAM, 1)[0] for slot in self.slots]
        return np.minimum((np.array(draws) * counts).astype(np.int64), counts - 1)

    def cuts(self, lengths: np.ndarray, share: float) -> np.ndarray:
        """(rows,) int64: how many tokens of each answer of these lengths stay; all, but in `share` of the rows."""
        draws = np.array([uniform(self.seed, self.step, int(slot), LENGTH_STREAM, 2) for slot in self.slots])
        kept = 1 + np.minimum((draws[:, 1] * lengths).astype(np.int64), lengths - 1)
        return np.where(draws[:, 0] < share, kept, lengths)


def step_noise(
    seed: int,
    step: int,
    rows: int,
    stratified: bool,
    *,
    complementary: bool = False,
    density: Sequence[float] | None = None,
) -> StepNoise:
    """Noise of a global batch; shuffled, because its rows are sorted by length and strata are in order.

    Args:
        rows: of the global batch, complements included.
        density: from which levels are drawn (`llada.diffusion.importance`); None: uniform.
    """
    copies = 2 if complementary else 1
    draws = rows // copies
    slots = np.random.default_rng([seed, step]).permutation(draws)
    u = level_uniforms(seed, step, slots.tolist(), global_batch_size=draws, stratified=stratified)
    top = 1 - EPSILON if complementary else 1.0
    if density is None:
        p, weights = (top - EPSILON) * u + EPSILON, np.ones(draws)
    else:
        if complementary:  # a level and its complement share one draw
            density = [(one + other) / 2 for one, other in zip(density, reversed(density), strict=True)]
        p, weights = levels_of(u, density, top=top)
    complement = np.tile([False, True], draws) if complementary else np.zeros(draws, dtype=bool)
    p, weights, slots = np.repeat(p, copies), np.repeat(weights, copies), np.repeat(slots, copies)
    levels = np.where(complement, 1 - p, p)
    tails = np.repeat(np.random.default_rng([seed, step, _TAIL_STREAM]).random(draws), copies)
    return StepNoise(seed, step, slots, _single(levels), _single(weights), _single(p), complement, tails)


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(torch.float32)


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
    levels: Tensor  # (B,) float32, by which cross-entropies are divided: mask probabilities over the rows' weights
    mask: Tensor  # (B, L) bool, on the CPU

    def to(self, device: torch.device) -> MicroBatch:
        """With the rows on the device; levels and mask stay on the CPU."""
        return replace(self, rows=self.rows.to(device))


class GlobalBatch:
    """The rows of one optimizer step over all processes, sorted by length.

    Args:
        rows: the training split. indices: the batch's rows in it.
        eos_tail: the policy `train.eos_tail`. config: LLaDAConfig of the network.
        objective, block_length, normalizer, random_length: as of the profile's `train` section.
    """

    def __init__(
        self,
        rows: Rows,
        indices: np.ndarray,
        noise: StepNoise,
        eos_tail: str,
        config: Any,
        objective: Objective = "answer",
        block_length: int = 32,
        normalizer: Normalizer = "answer_length",
        random_length: float = 0.0,
    ) -> None:
        self.noise = noise
        self.ids = [rows.ids[index] for index in indices]
        self._tokens = [rows.tokens[index] for index in indices]
        self._lengths = np.array([len(tokens) for tokens in self._tokens], dtype=np.int64)
        self._tails = rows.tails(indices, eos_tail, config.max_sequence_length, noise.tails)
        if random_length > 0:
            self._cut(rows.prompt_lengths[indices], random_length)
        self._rainbow = tuple(config.tail_token_ids or ()) if eos_tail.startswith("rainbow:") else ()
        self._ends = self._lengths + self._tails
        self._eos, self._mask = int(config.eos_token_id), int(config.mask_token_id)
        self._pad = self._eos if config.pad_token_id is None else int(config.pad_token_id)
        # What is learnt of each row, [first, last) of it, and what stands behind it as masks without being scored.
        self._first = np.zeros_like(self._lengths) if objective == "sequence" else rows.prompt_lengths[indices]
        self._last = self._ends
        self._answers = self._ends - self._first
        self._weights = noise.weights.numpy().astype(np.float64)
        if objective == "block":
            self._choose_blocks(block_length, normalizer)

    def _cut(self, prompts: np.ndarray, share: float) -> None:
        """End some rows within their answer, without a tail."""
        kept = prompts + self.noise.cuts(self._lengths - prompts, share)
        self._tails = np.where(kept < self._lengths, 0, self._tails)
        self._tokens = [tokens[:end] for tokens, end in zip(self._tokens, kept, strict=True)]
        self._lengths = kept

    def _choose_blocks(self, length: int, normalizer: Normalizer) -> None:
        """One block of each answer; a row's weight makes up for the others, see `masked_diffusion_loss`."""
        counts = -(-self._answers // length)
        self._first = self._first + self.noise.blocks(counts) * length
        self._last = np.minimum(self._first + length, self._ends)
        if normalizer == "answer_length":  # the sum is divided by the block's length there, by the answer's here
            self._weights *= counts * (self._last - self._first) / self._answers
        elif normalizer == "batch_tokens":
            self._weights *= counts

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Positions that are not padding."""
        return int(self._ends.sum())

    def denominator(self, normalizer: Normalizer) -> float:
        """What the summed loss of all parts is divided by."""
        whole = self._padded(np.arange(len(self))) if normalizer == "masked_count" else None
        return loss_denominator(normalizer, whole, self.noise, self._answers)

    def micro_batch(self, positions: np.ndarray) -> MicroBatch:
        """The rows at these positions; for none a row without masks, which keeps its process in the reduction."""
        idle = len(positions) == 0
        positions = np.array([0]) if idle else positions
        rows = self._padded(positions)
        mask = self.noise.masks(positions, rows.maskable)
        weights = torch.from_numpy(self._weights[positions]).to(torch.float32)
        levels = self.noise.levels[torch.from_numpy(positions)] / weights
        return MicroBatch(rows, levels, torch.zeros_like(mask) if idle else mask)

    def _padded(self, positions: np.ndarray) -> Batch:
        tokens = [self._tokens[position] for position in positions]
        batch = collate(tokens, self._first[positions], self._tails[positions], self._eos, self._pad, self._rainbow)
        columns = np.arange(batch.input_ids.shape[1])
        hidden = torch.from_numpy(
            (columns >= self._last[positions, None]) & (columns < self._ends[positions, None])
        )  # behind the block
        if not bool(hidden.any()):
            return batch
        return replace(
            batch, input_ids=batch.input_ids.masked_fill(hidden, self._mask), maskable=batch.maskable & ~hidden
        )


def batch_of(
    train: TrainConfig,
    rows: Rows,
    lengths: np.ndarray,
    config: Any,
    seed: int,
    step: int,
    epochs: dict[int, list[np.ndarray]],
    density: Sequence[float] | None = None,
) -> GlobalBatch:
    """The global batch of optimizer step `step` under the settings `train`, complements included.

    Args:
        lengths: of the rows. config: LLaDAConfig of the network. epochs: the cache of `batch_of_step`.
        density: from which noise levels are drawn; None: uniform.
    """
    indices = batch_of_step(lengths, train.distinct_rows, seed, step, epochs)
    paired = train.masks == "complementary"
    if paired:
        indices = np.repeat(indices, 2)
    noise = step_noise(seed, step, len(indices), train.stratified_t, complementary=paired, density=density)
    parts = (train.eos_tail, config, train.objective, train.block_length, train.normalizer, train.random_length)
    return GlobalBatch(rows, indices, noise, *parts)
