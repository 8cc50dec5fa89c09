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

from causal.generation import generate_causal
from common.progress import progress_bar
from eval.metrics.scoring import Answer
from llada.chat_format import decode_answer, end_of_turn_id
from llada.network.token_ids import end_token_ids
from llada.sampling.batches import generate_many, left_pad
from llada.sampling.generate import denoise
from llada.sampling.settings import SamplerConfig


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
    causal: bool = False,
) -> tuple[list[Answer], Accounting]:
    """One answer per prompt (token ids, ending with the assistant's header), in the order given.

    A batch has as many positions as `batch_size` rows of the longest prompt: more rows where prompts are shorter.

    Args:
        causal: the model is a causal one, which writes from left to right; of the sampler's settings it takes the
            longest answer, the temperature and the stop tokens.
    """
    stops = causal_stops(tokenizer, config) if causal else stop_tokens(model, config)
    longest = max(len(prompt) for prompt in prompts) + config.longest
    answers: dict[int, Answer] = {}
    passes = tokens = stopped_early = 0
    peak: int | None = None
    begin = time.perf_counter()
    with progress_bar() as progress:
        task = progress.add_task("generating answers", total=len(prompts), note="")
        if causal:
            batches = generate_causal(
                model,
                prompts,
                longest=config.longest,
                stops=stops,
                pad=tokenizer.pad_token_id,
                temperature=config.temperature,
                seed=seed,
                token_budget=batch_size * longest,
            )
        else:
            batches = generate_many(model, prompts, config, seed=seed, token_budget=batch_size * longest)
        for batch in batches:
            for item, generated in zip(batch.items, batch.answers, strict=True):
                answers[item] = read_answer(tokenizer, generated, stops)
                tokens += len(generated)
            passes += batch.forward_passes
            stopped_early += batch.rows_stopped_early
            peak = max(peak or 0, batch.peak_memory) if batch.peak_memory is not None else None
            progress.advance(task, len(batch.items))
    accounting = Accounting(passes, tokens, time.perf_counter() - begin, stopped_early, peak)
    return [answers[item] for item in range(len(prompts))], accounting


def answers_alone(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], config: SamplerConfig, *, seed: int, causal: bool
) -> Accounting:
    """What these answers cost one after the other, as of a single user."""
    costs = [
        generate_answers(model, tokenizer, [prompt], config, batch_size=1, seed=seed, causal=causal)[1]
        for prompt in prompts
    ]
    peaks = [cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None]
    return Accounting(
        sum(cost.forward_passes for cost in costs),
        sum(cost.tokens for cost in costs),
        sum(cost.seconds for cost in costs),
        sum(cost.rows_stopped_early for cost in costs),
        max(peaks) if peaks else None,
    )


def read_answer(tokenizer: Any, generated: Sequence[int], stops: set[int]) -> Answer:
    """An answer from its ids, which end with the first stop token where there is one; `tokens` does not count it."""
    stopped = bool(generated) and generated[-1] in stops
    return Answer(decode_answer(tokenizer, generated, stops), len(generated) - stopped, stopped)


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

    Positions are those of the finished answer, also where masks were inserted later.

    Returns:
        One dict per row: `length` (answer positions), `forward_passes` and `steps`, a list of
        {"commit": [[position, piece, confidence] ...], "take_back": [position ...]}. A piece is the text of one token;
        stop tokens keep their name.
    """
    if not rows:
        return []
    ids, mask = left_pad([prompts[row] for row in rows], tokenizer.pad_token_id, model.device)
    start = ids.shape[1]
    traces: list[dict[str, Any]] = [{"length": 0, "steps": [], "forward_passes": 0} for _ in rows]
    generator = torch.Generator().manual_seed(seed)
    for step in denoise(model, ids, mask, config, generator, row_ids=list(rows)):
        for row, trace in enumerate(traces):
            _make_room(trace["steps"], *step.inserted[row].tolist())
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


def _make_room(steps: list[dict[str, Any]], place: int, more: int) -> None:
    """A mask at `place` became 1 + `more`: what was written behind it before stands so much further right."""
    for step in steps if more else ():
        for commit in step["commit"]:
            commit[0] += more * (commit[0] > place)
        step["take_back"] = [at + more * (at > place) for at in step["take_back"]]


def stop_tokens(model: Any, config: SamplerConfig) -> set[int]:
    """The sampler's stop tokens: the configured ones, or the model's own."""
    if config.stop_token_ids is not None:
        return set(config.stop_token_ids)
    return set(end_token_ids(model.config))


def causal_stops(tokenizer: Any, config: SamplerConfig) -> set[int]:
    """Where a causal model's answer ends: the configured tokens, or end of turn and end of text."""
    if config.stop_token_ids is not None:
        return set(config.stop_token_ids)
    ends = (end_of_turn_id(tokenizer), tokenizer.eos_token_id)
    return {token for token in ends if token is not None}


def _piece(tokenizer: Any, token: int) -> str:
    return tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
