"""LLaDA's reverse process: `denoise` yields step after step, `generate` drains it.

    result = generate(model, input_ids, attention_mask, SamplerConfig(gen_length=128, rule="threshold", cache="dual"))
    answers = result.tokens[:, input_ids.shape[1] :]

How a step works is in `engine`, which token and how surely in `token_choice`, which positions in `rules`; what the
settings mean together, with examples of infilling and constraints, in `docs/sampling.md`.

Shapes: B rows, P prompt, G answer, T = P + G.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada.sampling.engine import Engine, Step
from llada.sampling.sequences import Allowed
from llada.sampling.settings import SamplerConfig

__all__ = ["Generation", "Step", "denoise", "generate"]


@dataclass(frozen=True)
class Generation:
    """What `generate` returns: the tokens and what they cost."""

    tokens: Tensor  # (B, P + G) int64, prompt included; after a stop the pad token
    forward_passes: int  # calls of the model, of whatever batch and slice
    answer_lengths: Tensor  # (B,) int64, answer tokens up to the first stop token, itself included
    rows_stopped_early: int  # rows that met a stop token before their last block was full
    seconds: float
    peak_memory: int | None  # bytes, on CUDA


def generate(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    config: SamplerConfig | None = None,
    generator: torch.Generator | None = None,
    *,
    answer: Tensor | None = None,
    allowed: Allowed | Sequence[Allowed | None] | None = None,
    row_ids: Sequence[int] | None = None,
    frequencies: Tensor | None = None,
) -> Generation:
    """Denoise answers to a batch of prompts; arguments and errors as of `denoise`."""
    device = input_ids.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    engine = Engine(model, input_ids, attention_mask, config, generator, answer, allowed, row_ids, frequencies)
    for _ in engine.run():
        pass
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return Generation(
        tokens=engine.sequences.tokens,
        forward_passes=engine.forward_passes,
        answer_lengths=engine.sequences.lengths_to_stop(),
        rows_stopped_early=int(engine.sequences.stopped.sum()),
        seconds=time.perf_counter() - begin,
        peak_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def denoise(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    config: SamplerConfig | None = None,
    generator: torch.Generator | None = None,
    *,
    answer: Tensor | None = None,
    allowed: Allowed | Sequence[Allowed | None] | None = None,
    row_ids: Sequence[int] | None = None,
    frequencies: Tensor | None = None,
) -> Iterator[Step]:
    """Denoise answers to a batch of prompts, yielding every step. The last step's tokens are the result.

    Args:
        model: an LLaDAModelLM, or a peft model around one.
        input_ids: (B, P) int64, padded on the left.
        attention_mask: (B, P), nonzero where a token is real; None when nothing is padded.
        config: the settings; None for the defaults.
        generator: its state seeds the noise, where a setting wants any; None: torch's global one. One number is drawn.
        answer: (B, gen_length) int64, an answer to fill in: tokens that are kept, and the mask token at free places.
        allowed: hard constraints, {answer position: ids that may stand there}, for all rows or one mapping per row.
        frequencies: (V,), each token's share of a corpus (`token_choice.token_frequencies`), for the score
            `positional`; None: all equal.
        row_ids: seeds each row's noise from a number of yours in place of its prompt, see `noise.row_keys`.

    Raises:
        ValueError: an argument has a wrong shape, dtype or padding, or contradicts the settings.
        RuntimeError: a mask token is left at the end (a fault of ours, never silent).
    """
    return Engine(model, input_ids, attention_mask, config, generator, answer, allowed, row_ids, frequencies).run()
