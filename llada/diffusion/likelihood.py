"""How likely is an answer: the Monte-Carlo bound of masked diffusion, with a standard error.

The bound and its forward pass are in `bound`; in expectation it equals the 1/t loss. l is stratified over the S
samples: sample s draws u in [s/S, (s+1)/S) and l = floor(u A) + 1, so every l is equally likely and all occur.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from llada.diffusion.bound import masked_batch, masked_cross_entropy
from llada.diffusion.noise import BOUND_STREAM, uniform
from llada.network.modeling import LLaDAModelLM
from llada.network.unwrap import base_of

TOKENS_DEVICE, TOKENS_CPU = 16384, 4096
"""Of one forward pass: enough to fill a device; few enough for a small network's activations to stay in a cache."""


class LikelihoodEstimate(NamedTuple):
    """Bound on log p(answer | prompt) in nats, over the whole answer, and its Monte-Carlo standard error."""

    estimate: float
    standard_error: float


class _Sample(NamedTuple):
    item: int
    mask: Tensor  # (A,) bool
    count: int


def log_likelihood(
    model: nn.Module,
    prompt_ids: Tensor | Sequence[int],
    answer_ids: Tensor | Sequence[int],
    samples: int = 128,
    generator: torch.Generator | None = None,
    *,
    max_tokens: int | None = None,
) -> LikelihoodEstimate:
    """Estimate the bound for one item.

    Args:
        model: LLaDAModelLM, bare or inside a peft model.
        prompt_ids, answer_ids: (P,) and (A,) int64; the prompt may be empty, the answer not.
        samples: S, forward passes of this item, run in batches of at most `max_tokens` tokens.
        generator: where the seed of this estimate is drawn from (a CPU generator; None: torch's global one).
    """
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator).item())
    return log_likelihoods(model, [prompt_ids], [answer_ids], samples, seed=seed, max_tokens=max_tokens)[0]


@torch.no_grad()
def log_likelihoods(
    model: nn.Module,
    prompts: Sequence[Tensor | Sequence[int]],
    answers: Sequence[Tensor | Sequence[int]],
    samples: int = 128,
    *,
    seed: int,
    max_tokens: int | None = None,
    items: Sequence[int] | None = None,
) -> list[LikelihoodEstimate]:
    """Estimate the bound for many items; batches mix items of similar length.

    The masks of an item depend on (seed, its number, its answer's length) alone, so two models are compared on the
    same masks and the batching changes nothing.

    Args:
        prompts, answers: token ids per item.
        samples: S per item. max_tokens: padded tokens per forward pass; None chooses by the device.
        items: the items' numbers, default 0, 1, 2 ...
    """
    if samples < 1:
        raise ValueError(f"samples: {samples}; must be at least 1")
    network = base_of(model)
    rows = [(_ids(prompt), _ids(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
    numbers = list(items) if items is not None else list(range(len(rows)))
    plan: list[_Sample] = []
    for index, (_, answer) in enumerate(rows):
        if not len(answer):
            raise ValueError(f"answers: item {index} is empty; an answer has at least one token")
        masks = bound_masks(seed, numbers[index], len(answer), samples)
        plan += [_Sample(index, mask, int(mask.sum())) for mask in masks]
    values: list[list[float]] = [[] for _ in rows]
    most = max_tokens or (TOKENS_CPU if network.device.type == "cpu" else TOKENS_DEVICE)
    for batch in _batches(plan, rows, most):
        for sample, value in zip(batch, _values(network, rows, batch), strict=True):
            values[sample.item].append(value)
    return [_summary(of_item) for of_item in values]


def bound_masks(seed: int, item: int, length: int, samples: int) -> Iterator[Tensor]:
    """S masks of one answer, (A,) bool each, with stratified counts in ascending order; seed, item and S fix them."""
    for sample in range(samples):
        drawn = uniform(seed, sample, item, BOUND_STREAM, length + 1)
        count = int((sample + drawn[0]) / samples * length) + 1
        order = np.argsort(drawn[1:], kind="stable")
        mask = torch.zeros(length, dtype=torch.bool)
        mask[torch.from_numpy(order[: min(count, length)])] = True
        yield mask


def _ids(tokens: Tensor | Sequence[int]) -> Tensor:
    return torch.as_tensor(tokens, dtype=torch.int64).flatten().cpu()


def _batches(plan: list[_Sample], rows: list[tuple[Tensor, Tensor]], max_tokens: int) -> Iterator[list[_Sample]]:
    lengths = [len(prompt) + len(answer) for prompt, answer in rows]
    batch: list[_Sample] = []
    for sample in sorted(plan, key=lambda sample: -lengths[sample.item]):  # stable: samples stay in order
        if batch and (len(batch) + 1) * lengths[batch[0].item] > max_tokens:
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _values(network: LLaDAModelLM, rows: list[tuple[Tensor, Tensor]], batch: list[_Sample]) -> list[float]:
    prompts = [len(rows[sample.item][0]) for sample in batch]
    tokens = [torch.cat(rows[sample.item]) for sample in batch]
    positions = [prompt + sample.mask.nonzero().squeeze(1) for prompt, sample in zip(prompts, batch, strict=True)]
    masked = masked_batch(tokens, positions, network.config.mask_token_id, network.device)
    losses = masked_cross_entropy(network, masked)
    totals = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, masked.owners, losses)
    scale = torch.tensor([len(sample.mask) / sample.count for sample in batch], dtype=torch.float64)
    return (-totals * scale).tolist()


def _summary(values: list[float]) -> LikelihoodEstimate:
    """Mean and standard error of stratified samples in their order.

    Each stratum has one sample, so neighbours are paired: (a - b)^2 estimates the variance of a + b, from above
    where their strata differ (collapsed strata, Cochran, "Sampling Techniques", section 5A.12). A last odd sample
    forms a group of three.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return LikelihoodEstimate(mean, math.nan)
    variance = 0.0
    starts = list(range(0, count - 1, 2))
    for start in starts:
        group = values[start : start + 2] if start != starts[-1] else values[start:]
        center = math.fsum(group) / len(group)
        variance += len(group) / (len(group) - 1) * math.fsum((value - center) ** 2 for value in group)
    return LikelihoodEstimate(mean, math.sqrt(variance) / count)
