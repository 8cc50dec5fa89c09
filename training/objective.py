"""The training objective as one module, so that whatever wraps it (DDP, FSDP) sees a single forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from llada.diffusion.bound import MaskedBatch, masked_cross_entropy
from llada.diffusion.loss import Normalizer, masked_diffusion_loss

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

    def token_losses(self, batch: MaskedBatch) -> Tensor:
        """Cross-entropy of each masked token, (M,) float64 on the CPU, row by row."""
        with self._autocast(batch.noisy.device):
            return masked_cross_entropy(self.model.get_base_model(), batch)

    def unscale_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Divide the gradients by the scale that the loss had in float16."""
        if self.loss_scale != 1.0:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad /= self.loss_scale

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32)
