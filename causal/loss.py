"""Causal cross-entropy of chosen tokens, each from all that stands to its left, without all logits.

    loss = normalised sum over the wanted positions i of  -log p(x_i | x_<i)

The hidden state at i - 1 predicts token i; only those states reach the head, a slice of the vocabulary at a time
(`llada.diffusion.cross_entropy`), as in the diffusion loss beside which this one stands.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from causal.network import causal_network, hidden_states
from llada.diffusion.cross_entropy import chunked_cross_entropy
from llada.diffusion.loss import NORMALIZERS, Normalizer


def token_losses(
    model: Any, input_ids: Tensor, wanted: Tensor, chunk_bytes: int | None = None
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each wanted token, (N,) row by row, and the rows they stand in, (N,) int64.

    Args:
        model: a causal model of transformers, bare or inside a peft model.
        input_ids: (B, L) int64, padded on the right, which no earlier position sees.
        wanted: (B, L), nonzero where a token counts; the first of a row has nothing to its left and never does.
    """
    network = causal_network(model)
    row, column = wanted[:, 1:].bool().nonzero(as_tuple=True)
    hidden = hidden_states(network, input_ids)  # (B, L, D)
    row, column = row.to(hidden.device), column.to(hidden.device)
    targets = input_ids.to(hidden.device)[row, column + 1]
    head = network.get_output_embeddings()
    return chunked_cross_entropy(head, hidden[row, column], targets, chunk_bytes), row


def causal_loss(
    model: Any,
    input_ids: Tensor,
    wanted: Tensor,
    normalizer: Normalizer = "answer_length",
    *,
    total: float | Tensor | None = None,
    chunk_bytes: int | None = None,
) -> Tensor:
    """The loss of one batch: a scalar in float32 (float64 for a float64 model), always with a graph.

    Args:
        model, input_ids, wanted: as in `token_losses`.
        normalizer: as in `llada.diffusion.loss`, where every wanted token counts as masked: "answer_length" is the
            mean over rows of each row's mean, "batch_tokens" and "masked_count" the mean over tokens, which is
            transformers' own with `labels`.
        total: in place of this batch's own denominator, that of the global batch.
    """
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer: {normalizer!r}; must be one of {', '.join(NORMALIZERS)}")
    losses, row = token_losses(model, input_ids, wanted, chunk_bytes)
    lengths = wanted[:, 1:].bool().sum(dim=1).to(losses.device)
    if normalizer == "answer_length":
        sums = losses.new_zeros(len(input_ids)).index_add(0, row, losses)
        return (sums / lengths.clamp(min=1)).sum() / (len(input_ids) if total is None else total)
    return losses.sum() / (lengths.sum().clamp(min=1) if total is None else total)
