"""Masked diffusion: the forward process and the loss, as pure tensor functions.

Source: LLaDA (arXiv 2502.09992), equation 5 and its guideline for instruction tuning. With mask probability t per row,

    loss = normalised sum over masked positions of  CE(x_i | noisy x) / t

without logit shift; the prompt is never masked and never in the loss. The randomness lives in `noise`, the
likelihood bound in `likelihood`, beside this file.

    t = noise_levels(seed, step, rows, global_batch_size=64)                    # (B,)
    mask = noise_mask(seed, step, rows, maskable, t)                            # (B, L)
    loss = masked_diffusion_loss(model, input_ids, maskable, t, mask, attention_mask)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from llada.diffusion.cross_entropy import chunked_cross_entropy
from llada.network.unwrap import base_of

Normalizer = Literal["answer_length", "batch_tokens", "masked_count"]
NORMALIZERS: tuple[str, ...] = get_args(Normalizer)


def forward_process(input_ids: Tensor, mask: Tensor, mask_token_id: int) -> Tensor:
    """Replace the masked tokens: (B, L) int64."""
    return input_ids.masked_fill(mask.to(device=input_ids.device, dtype=torch.bool), mask_token_id)


def masked_diffusion_loss(
    model: nn.Module,
    input_ids: Tensor,
    maskable: Tensor,
    t: Tensor,
    mask: Tensor,
    attention_mask: Tensor | None = None,
    normalizer: Normalizer = "answer_length",
    *,
    total: float | Tensor | None = None,
    chunk_bytes: int | None = None,
) -> Tensor:
    """The loss of one batch: a scalar in float32 (float64 for a float64 model), always with a graph.

    Logits exist only at masked positions, a slice of the vocabulary at a time: peak memory does not depend on t.

    Args:
        model: LLaDAModelLM, bare or inside a peft model. Under DistributedDataParallel, call this inside the wrapped
            forward.
        input_ids: (B, L) int64, the clean tokens.
        maskable: (B, L), nonzero for answer tokens, any dtype.
        t: (B,) mask probabilities in (0, 1], by which the cross-entropy is divided.
        mask: (B, L), nonzero where masked, any dtype; counts only where `maskable`. On the CPU (as `noise_mask`
            returns it) its positions are found without waiting for the device that the tokens are on.
        attention_mask: (B, L), nonzero where real; None when nothing is padded.
        normalizer: what the sum over masked positions of CE / t is divided by.
            "answer_length": each row's own number of maskable tokens, then the mean over rows (the guideline).
            "batch_tokens": the maskable tokens of all rows together.
            "masked_count": the masked tokens of all rows together.
        total: in place of this batch's own B, maskable tokens or masked tokens (by `normalizer`): those of the
            global batch, where this call sees a part of it (gradient accumulation, ranks). The parts' losses then
            add up to the global loss.
        chunk_bytes: bytes of logits at once; None chooses by the device, see `chunked_cross_entropy`.
    """
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer: {normalizer!r}; must be one of {', '.join(NORMALIZERS)}")
    sums, lengths, masked = _row_sums(model, input_ids, maskable, t, mask, attention_mask, chunk_bytes)
    if normalizer == "answer_length":
        # A row without an answer has a sum of zero, whatever it is divided by.
        return (sums / lengths.clamp(min=1)).sum() / (len(input_ids) if total is None else total)
    own = lengths.sum() if normalizer == "batch_tokens" else masked.sum()
    return sums.sum() / (own.clamp(min=1) if total is None else total)


def _row_sums(
    model: nn.Module,
    input_ids: Tensor,
    maskable: Tensor,
    t: Tensor,
    mask: Tensor,
    attention_mask: Tensor | None,
    chunk_bytes: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Per row, (B,) each: sum over masked of CE / t; number of maskable tokens; number of masked tokens."""
    network = base_of(model)
    _check_shapes(input_ids, maskable, t, mask)
    config = network.config
    if not 0 <= config.mask_token_id < config.embedding_size:
        raise ValueError(f"mask_token_id: {config.mask_token_id}; must be below embedding_size {config.embedding_size}")
    maskable = maskable.to(torch.bool)
    mask = mask.to(torch.bool) & maskable.to(mask.device)
    row, column = mask.nonzero(as_tuple=True)  # on the mask's device
    noisy = forward_process(input_ids, mask, config.mask_token_id)
    hidden = network.hidden_at(noisy, attention_mask, row, column)  # (N, D)
    device = hidden.device
    row, column = row.to(device, non_blocking=True), column.to(device, non_blocking=True)
    targets = input_ids.to(device)[row, column]
    losses = chunked_cross_entropy(network.get_output_embeddings(), hidden, targets, chunk_bytes)  # (N,)
    sums = losses.new_zeros(len(input_ids)).index_add(0, row, losses / t.to(device=device, dtype=losses.dtype)[row])
    return sums, maskable.sum(dim=1).to(device), mask.sum(dim=1).to(device)


def _check_shapes(input_ids: Tensor, maskable: Tensor, t: Tensor, mask: Tensor) -> None:
    for name, tensor in (("maskable", maskable), ("mask", mask)):
        if tensor.shape != input_ids.shape:
            raise ValueError(
                f"{name}: shape {tuple(tensor.shape)}; must be that of input_ids, {tuple(input_ids.shape)}"
            )
    if t.shape != input_ids.shape[:1]:
        raise ValueError(f"t: shape {tuple(t.shape)}; must be ({input_ids.shape[0]},), one mask probability per row")
