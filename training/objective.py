"""The training objective as one module, so that whatever wraps it (DDP, FSDP) sees a single forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llada.diffusion.cross_entropy import chunked_cross_entropy
from llada.diffusion.loss import Normalizer, masked_diffusion_loss
from llada.diffusion.noise import noise_levels, noise_mask
from training.batching import Batch

FLOAT16_LOSS_SCALE = 1024.0  # a power of two: exact, and without state that a checkpoint would have to hold


class Objective(nn.Module):
    """Masked-diffusion loss of one micro-batch's share of the global batch.

    On a 16-bit base the forward pass runs under autocast in that type, so that the float32 adapters compute in it too.
    """

    def __init__(self, model: Any, normalizer: Normalizer, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.normalizer: Normalizer = normalizer
        self.loss_scale = FLOAT16_LOSS_SCALE if dtype == torch.float16 else 1.0

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, maskable: Tensor, t: Tensor, mask: Tensor, total: float
    ) -> Tensor:
        """See `llada.diffusion.masked_diffusion_loss`; `total` is the global batch's denominator."""
        with self._autocast(input_ids.device):
            return masked_diffusion_loss(
                self.model, input_ids, maskable, t, mask, attention_mask, self.normalizer, total=total
            )

    def token_losses(self, noisy: Tensor, attention_mask: Tensor | None, mask: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy (M,) of the M masked tokens, row by row."""
        network = self.model.get_base_model()
        with self._autocast(noisy.device):
            hidden = network.hidden(noisy, attention_mask)
            return chunked_cross_entropy(network.get_output_embeddings(), hidden[mask], targets)

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)


@dataclass(frozen=True)
class StepNoise:
    """The noise of one optimizer step: a pure function of (seed, step), whatever the number of processes."""

    seed: int
    step: int
    slots: np.ndarray  # (rows,) the noise row of each position of the length-sorted global batch
    levels: Tensor  # (rows,) float32, the mask probability at each position

    def masks(self, positions: np.ndarray, maskable: Tensor) -> Tensor:
        """(B, L) bool for the rows at these positions of the global batch."""
        slots = self.slots[positions].tolist()
        return noise_mask(self.seed, self.step, slots, maskable, self.levels[torch.from_numpy(positions)])


def step_noise(seed: int, step: int, rows: int, stratified: bool) -> StepNoise:
    """Noise levels of a global batch; shuffled, because its rows are sorted by length and strata are in order."""
    slots = np.random.default_rng([seed, step]).permutation(rows)
    levels = noise_levels(seed, step, slots.tolist(), global_batch_size=rows, stratified=stratified)
    return StepNoise(seed, step, slots, levels)


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
