"""Answers for many prompts: batches of similar length under a token budget; how they are batched changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada.sampling.generate import generate
from llada.sampling.settings import SamplerConfig


@dataclass(frozen=True)
class BatchOfAnswers:
    """What one batch of `generate_many` gives; `items` are the numbers of its prompts."""

    items: list[int]
    answers: list[list[int]]  # up to the first stop token, itself included
    forward_passes: int
    rows_stopped_early: int
    seconds: float
    peak_memory: int | None  # bytes, on CUDA


def left_pad(
    prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (B, P) int64, of prompts padded on the left to the longest."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask


def batches_by_length(lengths: Sequence[int], answer_length: int, token_budget: int) -> list[list[int]]:
    """Item numbers in batches, longest first, so that padding is rare and memory runs out at once or never.

    Args:
        lengths: prompt tokens of each item. answer_length: tokens that come on top of every prompt.
        token_budget: rows times (longest prompt + answer) of a batch; a single row may exceed it.
    """
    batches: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and (len(batches[-1]) + 1) * (longest + answer_length) <= token_budget:
            batches[-1].append(item)
        else:
            batches.append([item])
    return batches


def generate_many(
    model: Any,
    prompts: Sequence[Sequence[int]],
    config: SamplerConfig | None = None,
    *,
    seed: int = 0,
    token_budget: int = 4096,
    item_ids: Sequence[int] | None = None,
    frequencies: Tensor | None = None,
) -> Iterator[BatchOfAnswers]:
    """Generate answers batch by batch, in order of falling length.

    An item's noise depends on (seed, its id) alone. On several GPUs give each process its share of the prompts, with
    their ids: the answers are those of one process.

    Args:
        model: an LLaDAModelLM, or a peft model around one; prompts: token ids, none empty.
        token_budget: positions per forward pass, prompt, padding and answer together.
        item_ids: the prompts' numbers for the noise; None: 0, 1, 2 ...
        frequencies: as of `generate`.

    Raises:
        ValueError: a prompt is empty, or `generate` refuses an argument.
    """
    config = config or SamplerConfig()
    empty = [number for number, prompt in enumerate(prompts) if not prompt]
    if empty:
        raise ValueError(f"prompts {empty[:8]} are empty; an answer needs at least one token to follow")
    ids_of = range(len(prompts)) if item_ids is None else item_ids
    device = next(model.parameters()).device
    pad_id = model.config.pad_token_id or 0
    budget = token_budget // (1 + config.draft_steps)  # a pass computes each row's drafts too
    for items in batches_by_length([len(prompt) for prompt in prompts], config.longest, budget):
        ids, mask = left_pad([prompts[item] for item in items], pad_id, device)
        generator = torch.Generator().manual_seed(seed)
        result = generate(
            model, ids, mask, config, generator, row_ids=[ids_of[item] for item in items], frequencies=frequencies
        )
        rows = zip(result.tokens[:, ids.shape[1] :].tolist(), result.answer_lengths.tolist(), strict=True)
        yield BatchOfAnswers(
            items=items,
            answers=[row[:length] for row, length in rows],
            forward_passes=result.forward_passes,
            rows_stopped_early=result.rows_stopped_early,
            seconds=result.seconds,
            peak_memory=result.peak_memory,
        )
