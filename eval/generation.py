"""Answers to the test prompts, in batches of similar length, and the step-by-step record of a few of them.

An answer depends on the model, the sampler's settings, the seed and the item alone: rows are padded on the left behind
an attention mask, and noise, where the settings want any, is drawn per row from (seed, item number).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from common.progress import progress_bar
from eval.scoring import Answer
from llada import SamplerConfig, denoise, generate
from llada.chat import decode_answer

MAX_BATCH_TOKENS = 32_768  # prompt and answer tokens of all rows of a batch, padding included


@dataclass(frozen=True)
class Accounting:
    """What generating all answers cost."""

    forward_passes: int
    tokens: int  # answer tokens up to each stop, itself included
    seconds: float
    rows_stopped_early: int
    peak_memory_bytes: int | None  # on CUDA

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


def generate_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    config: SamplerConfig,
    *,
    batch_size: int,
    seed: int,
) -> tuple[list[Answer], Accounting]:
    """One answer per prompt (token ids, ending with the assistant's header), in the order given."""
    stops = stop_tokens(model, config)
    answers: list[Answer | None] = [None] * len(prompts)
    passes = tokens = stopped_early = 0
    peak: int | None = None
    begin = time.perf_counter()
    with progress_bar() as progress:
        task = progress.add_task("generating answers", total=len(prompts), note="")
        for rows in length_batches([len(prompt) for prompt in prompts], batch_size, config.longest):
            ids, mask = left_padded([prompts[row] for row in rows], tokenizer.pad_token_id, model.device)
            generator = torch.Generator().manual_seed(seed)
            result = generate(model, ids, mask, config, generator, row_ids=rows)
            for row, generated in zip(rows, result.tokens[:, ids.shape[1] :].tolist(), strict=True):
                answers[row] = read_answer(tokenizer, generated, stops)
            passes += result.forward_passes
            tokens += int(result.answer_lengths.sum())
            stopped_early += result.rows_stopped_early
            peak = max(peak or 0, result.peak_memory) if result.peak_memory is not None else None
            progress.advance(task, len(rows))
    accounting = Accounting(passes, tokens, time.perf_counter() - begin, stopped_early, peak)
    return [answer for answer in answers if answer is not None], accounting


def read_answer(tokenizer: Any, generated: Sequence[int], stops: set[int]) -> Answer:
    """The text up to the first stop token; `tokens` counts what stands before it."""
    length = next((place for place, token in enumerate(generated) if token in stops), len(generated))
    return Answer(decode_answer(tokenizer, generated, stops), length, length < len(generated))


def trace_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    config: SamplerConfig,
    *,
    rows: Sequence[int],
    seed: int,
) -> list[dict[str, Any]]:
    """Replay how `rows` of the prompts are answered: per row the commits of each step.

    Returns:
        One dict per row: `length` (answer positions), `forward_passes` and `steps`, a list of
        {"commit": [[position, piece, confidence] ...], "take_back": [position ...]}. A piece is the text of one token;
        stop tokens keep their name.
    """
    if not rows:
        return []
    ids, mask = left_padded([prompts[row] for row in rows], tokenizer.pad_token_id, model.device)
    start = ids.shape[1]
    traces: list[dict[str, Any]] = [{"length": 0, "steps": [], "forward_passes": 0} for _ in rows]
    generator = torch.Generator().manual_seed(seed)
    for step in denoise(model, ids, mask, config, generator, row_ids=list(rows)):
        for row, trace in enumerate(traces):
            commit = step.revealed[row, start:].nonzero()[:, 0].tolist()
            back = step.taken_back[row, start:].nonzero()[:, 0].tolist()
            if not commit and not back:
                continue
            trace["steps"].append(
                {
                    "commit": [
                        [place, _piece(tokenizer, int(step.tokens[row, start + place])), round(confidence, 4)]
                        for place in commit
                        for confidence in (float(step.confidence[row, start + place]),)
                    ],
                    "take_back": back,
                }
            )
            trace["length"] = step.tokens.shape[1] - start
            trace["forward_passes"] = step.forward_passes
    return traces


def stop_tokens(model: Any, config: SamplerConfig) -> set[int]:
    """The sampler's stop tokens: the configured ones, or the model's end-of-text and end-of-turn."""
    if config.stop_token_ids is not None:
        return set(config.stop_token_ids)
    found = (model.config.eos_token_id, getattr(model.config, "eot_token_id", None))
    return {token for token in found if token is not None}


def length_batches(lengths: Sequence[int], batch_size: int, gen_length: int) -> list[list[int]]:
    """Row numbers by decreasing length (ties in order), at most `batch_size` and MAX_BATCH_TOKENS per batch."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        longest = lengths[batches[-1][0]] + gen_length if batches else 0
        full = not batches or len(batches[-1]) == batch_size or (len(batches[-1]) + 1) * longest > MAX_BATCH_TOKENS
        if full:
            batches.append([])
        batches[-1].append(row)
    return batches


def left_padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Token ids (B, P) int64 padded on the left and their mask (B, P); no mask where nothing is padded."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows], dtype=torch.int64, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    if bool((lengths == width).all()):
        return ids, None
    return ids, torch.arange(width, device=device)[None] >= width - lengths[:, None]


def _piece(tokenizer: Any, token: int) -> str:
    return tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
