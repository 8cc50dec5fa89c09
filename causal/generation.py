"""Answers of a causal model by transformers' own `generate`, batched with padding on the left.

How prompts are batched changes no answer: rows are left-padded behind an attention mask, and where the temperature is
not zero, Gumbel noise is drawn per (seed, item, token): the argmax of logits / T + noise is a draw from softmax(logits
/ T). In 16 bits two equally likely tokens may still change places with the shape of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llada.errors import not_finite
from llada.sampling.batches import BatchOfAnswers, batches_by_length, left_pad


def generate_causal(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    longest: int,
    stops: Collection[int],
    pad: int,
    temperature: float = 0.0,
    seed: int = 0,
    token_budget: int = 4096,
) -> Iterator[BatchOfAnswers]:
    """Answer batch by batch, in order of falling length.

    Args:
        model: a causal model of transformers, bare or inside a peft model.
        longest: new tokens at the most. stops: tokens that end an answer. pad: the token that rows are padded with.
        temperature: 0 takes the most probable token.
        token_budget: rows times (longest prompt + answer) of a batch.

    Raises:
        llada.errors.CheckpointError: the model gives no finite logits.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    device = next(model.parameters()).device
    settings = GenerationConfig(
        max_new_tokens=longest, do_sample=False, num_beams=1, eos_token_id=sorted(stops), pad_token_id=pad
    )
    for items in batches_by_length([len(prompt) for prompt in prompts], longest, token_budget):
        ids, mask = left_pad([prompts[item] for item in items], pad, device)
        looks: list[Any] = [FirstLook(ids.shape[1])]
        looks += [GumbelNoise(items, seed, temperature, ids.shape[1])] if temperature else []
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        begin = time.perf_counter()
        with torch.no_grad():
            tokens = model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=settings,
                logits_processor=LogitsProcessorList(looks),
            )
        seconds = time.perf_counter() - begin
        written = tokens[:, ids.shape[1] :].tolist()
        answers = [until_stop(row, stops) for row in written]
        yield BatchOfAnswers(
            items=items,
            answers=answers,
            forward_passes=len(written[0]),  # the first reads the prompt and gives the first token
            rows_stopped_early=sum(len(answer) < longest for answer in answers),
            seconds=seconds,
            peak_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        )


def until_stop(tokens: Sequence[int], stops: Collection[int]) -> list[int]:
    """The tokens up to the first stop, itself included."""
    end = next((place for place, token in enumerate(tokens) if token in stops), len(tokens) - 1)
    return list(tokens[: end + 1])


class FirstLook:
    """Refuses logits that are not finite, at the first new token of a batch. A processor as GumbelNoise is one."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == self.start and not bool(scores.isfinite().all()):
            raise not_finite(scores.dtype)
        return scores


class GumbelNoise:
    """Turns the greedy choice into a draw at a temperature; a row's noise depends on (seed, item, token) alone.

    A processor of transformers by its call; not a subclass, which would be loaded with this module.
    """

    def __init__(self, items: Sequence[int], seed: int, temperature: float, start: int) -> None:
        self.items, self.seed, self.temperature, self.start = items, seed, temperature, start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores (B, V): logits of the next token."""
        place = input_ids.shape[1] - self.start
        rows = [np.random.default_rng([self.seed, item, place]).gumbel(size=scores.shape[1]) for item in self.items]
        noise = torch.from_numpy(np.stack(rows)).to(scores.device)
        return scores.double() / self.temperature + noise
