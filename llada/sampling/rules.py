"""Which of a block's masked positions a step commits: one pure function per published rule.

Shapes: R rows, K positions of the block. `score` is (R, K) float32 in [0, 1] where masked and -inf elsewhere; `masked`
is (R, K) bool. A rule returns (R, K) bool, a subset of `masked` with at least one position in each row that has any.

    quota          Nie et al. 2025, arXiv 2502.09992 (LLaDA): a fixed number per step
    threshold      Wu et al. 2025, arXiv 2505.22618 (Fast-dLLM)
    factor         the same paper: parallel decoding that is safe when n * (1 - c_(n)) is small
    entropy_bound  Ben-Hamu et al. 2025, arXiv 2505.24857 (EB-Sampler)
    revoke         Hong et al. 2025, arXiv 2507.18578 (WINO): draft generously, verify, take back
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

NEVER = 1e4  # an "entropy" for positions that come last, above any real one and small enough to be added up


def quota_of_step(masks: Tensor, steps: int, step: int) -> Tensor:
    """(R,) int64: masks // steps, plus one in the first (masks % steps) steps; `masks` as the block opened."""
    return masks // steps + (step < masks % steps).to(masks.dtype)


def by_quota(score: Tensor, masked: Tensor, quota: Tensor, before: Sequence[int] = (), after: int = 0) -> Tensor:
    """The `quota` (R,) best of each row. Equal scores at the cut: as torch.topk picks on the row's own sequence.

    That is the published sampler's choice, though an arbitrary one: it depends on where the block lies.

    Args:
        before: each row's number of positions before the block, padding not counted; empty: none.
        after: the number of positions after it.
    """
    commit = (_rank(score, descending=True) < quota[:, None]) & masked
    ordered = pad(score.sort(dim=1, descending=True).values, (0, 1), value=-torch.inf)  # (R, K + 1)
    last = quota.clamp(min=1)[:, None]
    cut = (quota > 0) & (quota < masked.sum(dim=1))  # otherwise nothing is chosen, or nothing left out
    tied = cut & (ordered.gather(1, last - 1) == ordered.gather(1, last))[:, 0]
    for row in tied.nonzero()[:, 0].tolist():
        start = before[row] if before else 0
        sequence = torch.full((start + score.shape[1] + after,), -torch.inf)
        sequence[start : start + score.shape[1]] = score[row].cpu()
        commit[row] = False
        commit[row, sequence.topk(int(quota[row])).indices.to(commit.device) - start] = True
    return commit


def by_threshold(score: Tensor, masked: Tensor, threshold: float) -> Tensor:
    """All above the threshold, and always the best one."""
    return ((score > threshold) | (_rank(score, descending=True) == 0)) & masked


def by_factor(score: Tensor, masked: Tensor, factor: float) -> Tensor:
    """The n best, for the largest n with c_(n) >= 1 - factor / (n + 1), c_(n) the n-th best score; at least one."""
    rank = _rank(score, descending=True)  # n - 1
    enough = (score >= 1 - factor / (rank + 2)) & masked
    # c_(n) falls and the bound rises with n, so the positions that satisfy it are exactly the best ones.
    return (enough | (rank == 0)) & masked


def by_entropy(entropy: Tensor, masked: Tensor, bound: float) -> Tensor:
    """The longest prefix, in order of rising entropy, with sum(H) - max(H) <= bound nats; at least one.

    Args:
        entropy: (R, K) float32 in nats; what it holds where nothing is masked does not matter.
    """
    ordered, order = entropy.masked_fill(~masked, torch.inf).sort(dim=1, stable=True)
    before = ordered.cumsum(dim=1) - ordered  # the sum without the largest, which is the prefix's last
    within = (before <= bound) & ordered.isfinite()
    within[:, 0] = True
    return torch.zeros_like(masked).scatter(1, order, within) & masked


def take_back(kept: Tensor, verified: Tensor, drafted: Tensor, threshold: float) -> Tensor:
    """Rule revoke: the committed positions to mask again, (R, K) bool.

    A step takes back fewer than the step before it committed, the worst first. So n steps leave at least n masks fewer.

    Args:
        kept: (R, K) float32, the probability of each token that stands, with that token hidden from the model.
        verified: (R, K) bool, the positions where `kept` holds one.
        drafted: (R,) int64, how many positions the step before committed.
    """
    doubted = verified & (kept < threshold)
    rank = _rank(kept.masked_fill(~doubted, torch.inf), descending=False)
    return doubted & (rank < (drafted - 1)[:, None])


def _rank(values: Tensor, descending: bool) -> Tensor:
    """(R, K) int64: each position's place in its row's order; equal values from left to right."""
    order = values.argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
