"""Which of a block's masked positions a step commits: a pure function per published rule, and the table of them all.

Shapes: R rows, K positions of the block. A rule gets a `BlockState` and returns (R, K) bool, a subset of its `masked`
with at least one position in each row that has any.

    quota          Nie et al. 2025, arXiv 2502.09992 (LLaDA): a fixed number per step
    threshold      Wu et al. 2025, arXiv 2505.22618 (Fast-dLLM)
    factor         the same paper: parallel decoding that is safe when n * (1 - c_(n)) is small
    entropy_bound  Ben-Hamu et al. 2025, arXiv 2505.24857 (EB-Sampler)
    revoke         Hong et al. 2025, arXiv 2507.18578 (WINO): draft generously, verify, take back
    local_leap     Kong et al. 2025, arXiv 2510.07081 (LocalLeap): next to a sure position less is enough
    credit         Wang et al. 2025, arXiv 2510.06133 (CreditDecoding): `threshold`, after `history.Credits`
    klass          Kim et al. 2025, arXiv 2511.05664 (KLASS): sure and, by `history.Calm`, stable
    hierarchy      dInfer 2025, arXiv 2510.08666: the best of each masked run too

`exits` decides whether an answer is finished early:

    sched          Mohamed et al. 2025, arXiv 2512.02892 (SchED)
    stable         DiffusionGemma 2026: no token changed and the mean entropy is small

A new rule is a function here, a row of RULES, and its name in `llada.sampling.settings.RuleName`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from llada.sampling.settings import SamplerConfig

NEVER = 1e4  # an "entropy" for positions that come last, above any real one and small enough to be added up


@dataclass(frozen=True)
class BlockState:
    """What a rule may look at: one block of the rows at work, after the model ran and before anything is committed."""

    score: Tensor  # (R, K) float32, in [0, 1] where masked and -inf elsewhere
    masked: Tensor  # (R, K) bool
    entropy: Tensor | None  # (R, K) float32 in nats where masked; for the rules that want it
    config: SamplerConfig
    step: Tensor  # (R,) int64, the row's steps in this block so far
    opened: Tensor  # (R,) int64, masked positions as the block opened
    before: Tensor  # (R,) int64, the row's positions before the block, padding not counted
    after: int  # positions of the answer after the block
    calm: Tensor | None = None  # (R, K) int64, steps in a row in which the prediction hardly changed; for klass

    @property
    def last_step(self) -> Tensor:
        """(R,) bool."""
        return self.step + 1 >= self.config.steps_per_block


@dataclass(frozen=True)
class Rule:
    """How a step decides. `commit` maps the state of a block to the positions to commit, (R, K) bool."""

    commit: Callable[[BlockState], Tensor]
    wants_entropy: bool = False
    gives_credit: bool = False
    """the logits are raised by what `history.Credits` remembers before tokens and scores are taken from them"""
    wants_calm: bool = False
    verifies: bool = False
    """look at what is committed once more (`revoke`) and mask it again where it is doubted (`take_back`); a row then
    stops when its block is full and not before, since its stop token may be taken back"""


def by_quota(block: BlockState) -> Tensor:
    """The best `quota_of_step` of each row. Equal scores at the cut: as torch.topk picks on the row's own sequence.

    That is the published sampler's choice, though an arbitrary one: it depends on where the block lies.
    """
    score, masked = block.score, block.masked
    quota = quota_of_step(block.opened, block.config.steps_per_block, block.step)  # (R,)
    quota = quota.clamp(min=1)  # masks that were inserted come on top of those that the schedule knew
    commit = (_rank(score, descending=True) < quota[:, None]) & masked
    ordered = pad(score.sort(dim=1, descending=True).values, (0, 1), value=-torch.inf)  # (R, K + 1)
    last = quota[:, None]
    cut = quota < masked.sum(dim=1)  # otherwise nothing is left out
    tied = cut & (ordered.gather(1, last - 1) == ordered.gather(1, last))[:, 0]
    for row in tied.nonzero()[:, 0].tolist():
        start = int(block.before[row])
        sequence = torch.full((start + score.shape[1] + block.after,), -torch.inf)
        sequence[start : start + score.shape[1]] = score[row].cpu()
        commit[row] = False
        commit[row, sequence.topk(int(quota[row])).indices.to(commit.device) - start] = True
    return commit


def quota_of_step(opened: Tensor, steps: int, step: Tensor | int) -> Tensor:
    """(R,) int64: opened // steps, plus one in the first (opened % steps) steps."""
    return opened // steps + (step < opened % steps).to(opened.dtype)


def by_threshold(block: BlockState) -> Tensor:
    """All above the threshold, and always the best one."""
    return _above(block, block.config.threshold)


def by_factor(block: BlockState) -> Tensor:
    """The n best, for the largest n with c_(n) >= 1 - factor / (n + 1), c_(n) the n-th best score; at least one."""
    rank = _rank(block.score, descending=True)  # n - 1
    enough = (block.score >= 1 - block.config.factor / (rank + 2)) & block.masked
    # c_(n) falls and the bound rises with n, so the positions that satisfy it are exactly the best ones.
    return (enough | (rank == 0)) & block.masked


def by_entropy(block: BlockState) -> Tensor:
    """The longest prefix, in order of rising entropy, with sum(H) - max(H) <= entropy_bound nats; at least one."""
    assert block.entropy is not None  # the table says that this rule wants it
    ordered, order = block.entropy.masked_fill(~block.masked, torch.inf).sort(dim=1, stable=True)
    before = ordered.cumsum(dim=1) - ordered  # the sum without the largest, which is the prefix's last
    within = (before <= block.config.entropy_bound) & ordered.isfinite()
    within[:, 0] = True
    return torch.zeros_like(block.masked).scatter(1, order, within) & block.masked


def by_draft(block: BlockState) -> Tensor:
    """Rule revoke: all above the draft threshold, and always the best one; in the last step all that is left."""
    return torch.where(block.last_step[:, None], block.masked, _above(block, block.config.draft_threshold))


def by_leap(block: BlockState) -> Tensor:
    """Anchors, all at or above the threshold; near one, all at or above the lower threshold; always the best one."""
    config, K = block.config, block.score.shape[1]
    anchors = (block.score >= config.threshold) & block.masked
    places = torch.arange(K, device=block.score.device)
    near = ((places[:, None] - places).abs() <= config.leap_distance).float()  # (K, K)
    beside = (anchors.float() @ near > 0) & (block.score >= config.leap_threshold) & block.masked
    return anchors | beside | _best(block)


def by_stability(block: BlockState) -> Tensor:
    """Rule klass: all above the threshold that were calm for `kl_steps` steps; where a row has none, its quota of the
    best, at least one."""
    assert block.calm is not None  # the table says that this rule wants it
    config = block.config
    ready = (block.score > config.threshold) & (block.calm >= config.kl_steps) & block.masked
    quota = quota_of_step(block.opened, config.steps_per_block, block.step).clamp(min=1)
    best = (_rank(block.score, descending=True) < quota[:, None]) & block.masked
    return torch.where(ready.any(dim=1, keepdim=True), ready, best)


def by_run(block: BlockState) -> Tensor:
    """Rule hierarchy: all above the threshold, the best of each run of masked positions if above the lower one, and
    always the best one."""
    starts = block.masked & ~pad(block.masked, (1, 0))[:, :-1]
    run = starts.cumsum(dim=1).masked_fill(~block.masked, 0)  # (R, K): 1, 2, ... by run, 0 between them
    rank = _rank(block.score, descending=True)  # no two are equal
    lead = pad(torch.full_like(rank, rank.shape[1]), (0, 1)).scatter_reduce(1, run, rank, "amin", include_self=False)
    leads = (rank == lead.gather(1, run)) & block.masked
    return _above(block, block.config.threshold) | (leads & (block.score > block.config.run_threshold))


RULES: dict[str, Rule] = {
    "quota": Rule(by_quota),
    "threshold": Rule(by_threshold),
    "factor": Rule(by_factor),
    "entropy_bound": Rule(by_entropy, wants_entropy=True),
    "revoke": Rule(by_draft, verifies=True),
    "local_leap": Rule(by_leap),
    "credit": Rule(by_threshold, gives_credit=True),
    "klass": Rule(by_stability, wants_calm=True),
    "hierarchy": Rule(by_run),
}


def take_back(kept: Tensor, verified: Tensor, drafted: Tensor, threshold: float) -> Tensor:
    """A rule that verifies: the committed positions to mask again, (R, K) bool.

    A step takes back fewer than the step before it committed, the worst first. So n steps leave at least n masks fewer.

    Args:
        kept: (R, K) float32, the probability of each token that stands, with that token hidden from the model.
        verified: (R, K) bool, the positions where `kept` holds one.
        drafted: (R,) int64, how many positions the step before committed.
    """
    doubted = verified & (kept < threshold)
    rank = _rank(kept.masked_fill(~doubted, torch.inf), descending=False)
    return doubted & (rank < (drafted - 1)[:, None])


def exits(measure: Tensor, unchanged: Tensor, progress: Tensor, config: SamplerConfig) -> Tensor:
    """(R,) bool: the rows whose answers are to be finished at once.

    Args:
        measure: (R,) float32, a mean over the answer: of the two best logits' gap, or of the entropy in nats.
        unchanged: (R,) bool, whether the answer, its masks filled by their predictions, is that of the step before.
        progress: (R,) float32, steps taken of `config.steps`, this one included.
    """
    if config.early_exit == "stable":
        return unchanged & (measure < config.exit_entropy)
    return measure >= gap_bound(progress, config)


def gap_bound(progress: Tensor, config: SamplerConfig) -> Tensor:
    """SchED's bound, in logits: from exit_gap_first to exit_gap_last as progress goes from 0 to 1, linearly or by a
    cosine."""
    left = 1 - progress.clamp(max=1.0)
    if config.early_exit == "sched_cosine":
        left = (1 + torch.cos(torch.pi * (1 - left))) / 2
    return config.exit_gap_last + (config.exit_gap_first - config.exit_gap_last) * left


def _above(block: BlockState, threshold: float) -> Tensor:
    return ((block.score > threshold) & block.masked) | _best(block)


def _best(block: BlockState) -> Tensor:
    return (_rank(block.score, descending=True) == 0) & block.masked


def _rank(values: Tensor, descending: bool) -> Tensor:
    """(R, K) int64: each position's place in its row's order; equal values from left to right."""
    order = values.argsort(dim=1, descending=descending, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
