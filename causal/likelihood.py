"""How likely is an answer under a causal model: exactly, by the chain rule, in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from causal.loss import token_losses
from llada.diffusion.likelihood import LikelihoodEstimate
from llada.sampling.batches import batches_by_length


@torch.no_grad()
def exact_log_likelihoods(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, max_tokens: int = 16384
) -> list[LikelihoodEstimate]:
    """log p(answer | prompt) in nats of each item, in the order given; its standard error is 0.

    Args:
        prompts, answers: token ids; neither may be empty, as the first token of an answer needs one to its left.
        max_tokens: positions per forward pass.
    """
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    if any(not prompt for prompt in prompts) or any(not answer for answer in answers):
        raise ValueError("prompts and answers need at least one token each")
    device = next(model.parameters()).device
    found: dict[int, LikelihoodEstimate] = {}
    for batch in batches_by_length([len(row) for row in rows], 0, max_tokens):
        width = max(len(rows[item]) for item in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.int64)
        wanted = torch.zeros(ids.shape, dtype=torch.bool)
        for place, item in enumerate(batch):
            ids[place, : len(rows[item])] = torch.tensor(rows[item])
            wanted[place, len(prompts[item]) : len(rows[item])] = True
        losses, _ = token_losses(model, ids.to(device), wanted)
        for item, own in zip(batch, losses.double().cpu().split([len(answers[i]) for i in batch]), strict=True):
            found[item] = LikelihoodEstimate(-float(own.sum()), 0.0)
    return [found[item] for item in range(len(rows))]
