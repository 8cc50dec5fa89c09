"""The likelihood bound of every test item under one system, and its fit at each noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from causal.likelihood import exact_log_likelihoods
from causal.network import causal_network
from common.errors import InputError
from common.progress import progress_bar
from llada.diffusion.likelihood import LikelihoodEstimate, log_likelihoods
from llada.network.unwrap import base_of
from llada.sampling.batches import batches_by_length

SLICE = 16  # items per step of the progress bar; each slice holds items of similar length
MASK_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
LEVEL_TOKENS = 8192  # positions per forward pass of `fit_by_mask_share`; no setting, so that no setting changes a digit


def bounds(
    model: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    samples: int,
    seed: int,
    label: str = "likelihood bound",
    causal: bool = False,
) -> list[LikelihoodEstimate]:
    """Lower bounds on log p(answer | prompt) in nats, one per item, in the order given; of a causal model the exact
    values.

    The masks of an item depend on (seed, its number, its answer's length): every system is measured on the same masks.

    Raises:
        InputError: an estimate is not finite, said after the first slice that has one.
    """
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]) + len(answers[row]), row))
    by_row: dict[int, LikelihoodEstimate] = {}
    with progress_bar() as progress:
        task = progress.add_task(label, total=len(prompts), note="")
        for start in range(0, len(order), SLICE):
            rows = order[start : start + SLICE]
            given = [prompts[row] for row in rows], [answers[row] for row in rows]
            if causal:
                estimates = exact_log_likelihoods(model, *given)
            else:
                estimates = log_likelihoods(model, *given, samples, seed=seed, items=rows)
            refuse_what_is_not_finite(model, [one.estimate for one in estimates])
            by_row.update(zip(rows, estimates, strict=True))
            progress.advance(task, len(rows))
    return [by_row[row] for row in range(len(prompts))]


def refuse_what_is_not_finite(model: Any, estimates: Sequence[float]) -> None:
    """Raises InputError where the model gives no number for an answer: everything measured after it would be void."""
    wrong = sum(not math.isfinite(one) for one in estimates)
    if wrong:
        dtype = causal_network(model).dtype
        raise InputError(
            f"the likelihood of {wrong} of {len(estimates)} answers is not a finite number in {dtype}; "
            "use float32 or bfloat16 (model.dtype), or check the weights of base and adapter"
        )


@torch.no_grad()
def fit_by_mask_share(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, seed: int
) -> list[dict[str, float]]:
    """Cross-entropy and accuracy of masked answer tokens at fixed mask shares, one mask per item and share.

    Returns:
        Per share: `mask_share`, `nats` (mean cross-entropy per masked token), `accuracy` (share of masked tokens whose
        most probable token is right) and `tokens` (how many were masked).
    """
    rows = [(list(prompt), list(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
    totals = np.zeros((len(MASK_SHARES), 3))  # nats, hits, tokens
    network = base_of(model)
    work = [(level, row) for row in range(len(rows)) for level in range(len(MASK_SHARES))]
    for batch in batches_by_length([len(rows[row][0]) + len(rows[row][1]) for _, row in work], 0, LEVEL_TOKENS):
        chosen = [work[index] for index in batch]
        clean, real = right_padded([rows[row][0] + rows[row][1] for _, row in chosen])
        mask = torch.zeros_like(real)
        for place, (level, row) in enumerate(chosen):
            prompt, answer = rows[row]
            order = np.random.default_rng((seed, row, 3)).permutation(len(answer))
            count = max(1, round(MASK_SHARES[level] * len(answer)))
            mask[place, len(prompt) + torch.from_numpy(order[:count])] = True
        noisy = clean.masked_fill(mask, network.config.mask_token_id).to(network.device)
        owner, column = mask.nonzero(as_tuple=True)
        hidden = network.hidden_at(noisy, real.to(network.device), owner, column)  # (N, D)
        logits = network.head(hidden).float().cpu()  # (N, V)
        targets = clean[owner, column]
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double()
        hits = (logits.argmax(dim=-1) == targets).double()
        for place, (level, _) in enumerate(chosen):
            mine = owner == place
            totals[level] += (float(losses[mine].sum()), float(hits[mine].sum()), int(mine.sum()))
    return [
        {"mask_share": share, "nats": nats / tokens, "accuracy": hits / tokens, "tokens": int(tokens)}
        for share, (nats, hits, tokens) in zip(MASK_SHARES, totals, strict=True)
    ]


def right_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (B, L) int64 padded on the right with 0, and which are real (B, L) bool."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(width)[None] < lengths[:, None]
