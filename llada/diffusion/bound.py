"""The likelihood bound's forward pass, shared by the evaluation (`likelihood`) and by the validation during training.

For an answer x of A tokens and a mask m of exactly l of them (LLaDA, equation 6 of arXiv 2502.09992)

    -log p(x | prompt) <= E over l ~ U{1..A}, m ~ subsets of size l, of  (A / l) sum over masked of CE

and per answer token, dividing by A: the mean cross-entropy of the masked tokens. Both callers stratify l over the draws
of an item and choose m by random numbers of their own; from there on they go through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llada.diffusion.cross_entropy import chunked_cross_entropy
from llada.network.modeling import LLaDAModelLM


@dataclass(frozen=True)
class MaskedBatch:
    """B rows of L positions, of which M in all are masked."""

    noisy: Tensor  # (B, L) int64 with mask tokens
    attention_mask: Tensor | None  # (B, L) bool, False on padding; None where there is none
    owners: Tensor  # (M,) int64 on the CPU, the row of each masked token, ascending
    columns: Tensor  # (M,) int64 on the CPU, its position
    targets: Tensor  # (M,) int64, the clean token


def masked_batch(
    rows: Sequence[Tensor], masked: Sequence[Tensor], mask_token_id: int, device: torch.device
) -> MaskedBatch:
    """Pad rows on the right and mask them.

    Args:
        rows: (L_b,) int64 each, on the CPU. masked: (l_b,) int64, the positions to mask in each, ascending.
    """
    lengths = torch.tensor([len(row) for row in rows])
    clean = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)  # with token 0, which nothing attends to
    owners = torch.repeat_interleave(torch.tensor([len(positions) for positions in masked]))
    columns = torch.cat(list(masked))
    noisy = clean.index_put((owners, columns), torch.tensor(mask_token_id))
    real = torch.arange(clean.shape[1]) < lengths[:, None]
    attention_mask = None if bool(real.all()) else real.to(device)
    return MaskedBatch(noisy.to(device), attention_mask, owners, columns, clean[owners, columns].to(device))


def masked_cross_entropy(network: LLaDAModelLM, batch: MaskedBatch) -> Tensor:
    """Cross-entropy of each masked token, (M,) float64 on the CPU."""
    masked = network.hidden_at(batch.noisy, batch.attention_mask, batch.owners, batch.columns)  # (M, D)
    losses = chunked_cross_entropy(network.get_output_embeddings(), masked, batch.targets.to(masked.device))
    return losses.double().cpu()
