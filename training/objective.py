"""The training objective as one module, so that whatever wraps it (DDP, FSDP) sees a single forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llada.diffusion.bound import MaskedBatch, masked_cross_entropy
from llada.diffusion.loss import Normalizer, masked_diffusion_loss
from training.global_batch import MicroBatch


class Objective(nn.Module):
    """Masked-diffusion loss of one micro-batch's share of the global batch; or the token losses of a validation.

    Both are a forward pass of this module, because FSDP gathers the weights for that alone. On a 16-bit base it runs
    under autocast in that type, so that the float32 adapters compute in it too.
    """

    def __init__(self, model: Any, normalizer: Normalizer, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype
        self.normalizer: Normalizer = normalizer

    def forward(self, batch: MicroBatch | MaskedBatch, total: float = 1.0) -> Tensor:
        """The loss of a training batch, see `llada.diffusion.masked_diffusion_loss`; `total` is the global batch's
        denominator. Of a validation batch the cross-entropy of each masked token, (M,) float64 on the CPU, row by row.
        """
        if isinstance(batch, MaskedBatch):
            with self._autocast(batch.noisy.device):
                return masked_cross_entropy(self.model.get_base_model(), batch)
        rows = batch.rows
        with self._autocast(rows.input_ids.device):
            return masked_diffusion_loss(
                self.model,
                rows.input_ids,
                rows.maskable,
                batch.levels,
                batch.mask,
                rows.attention_mask,
                self.normalizer,
                total=total,
            )

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)
