"""Does the length of an answer follow the question or the token budget? The same items at several budgets.

LLaDA fills what it does not need with stop tokens; when these spill over (EOS overflow), a larger budget gives shorter
or empty answers, and without stop tokens an answer swells with its budget (Nie et al. 2025, arXiv 2502.09992, appendix
B.4). Each budget keeps the sampler's block length and its steps per block, so that only the budget differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from common.errors import InputError
from eval.config import EvaluationConfig
from eval.metrics.statistics import bootstrap_interval, mean, wilson_interval
from eval.metrics.words import lowercase_words
from llada.sampling.settings import SamplerConfig


def budget_configs(evaluation: EvaluationConfig, sampling: SamplerConfig) -> list[SamplerConfig]:
    """The sampler's settings at every budget of `evaluation.eos_overflow`, without growth.

    Raises:
        InputError: a budget is not a multiple of the block length.
    """
    configs = []
    for budget in evaluation.eos_overflow:
        if budget % sampling.block_length:
            raise InputError(
                f"evaluation.eos_overflow: {budget}; must be a multiple of sampling.block_length "
                f"({sampling.block_length})"
            )
        steps = sampling.steps_per_block * (budget // sampling.block_length)
        configs.append(
            dataclasses.replace(sampling, gen_length=budget, steps=steps, max_gen_length=None, insert_masks=0)
        )
    return configs


def lengths_by_budget(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    configs: Sequence[SamplerConfig],
    *,
    batch_size: int,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Answer `prompts` (token ids) at every budget.

    Returns:
        Per budget: `budget`, `answer_tokens` (mean tokens before the stop, with a bootstrap interval), and the shares
        of answers that `stopped` and that are `empty`, with Wilson's intervals.
    """
    from eval.measure.generation import generate_answers

    by_budget = []
    for config in configs:
        answers, _ = generate_answers(model, tokenizer, prompts, config, batch_size=batch_size, seed=seed)
        tokens = np.array([[answer.tokens, 1.0] for answer in answers])
        stopped = sum(answer.stopped for answer in answers)
        empty = sum(not lowercase_words(answer.text) for answer in answers)
        by_budget.append(
            {
                "budget": config.gen_length,
                "answer_tokens": asdict(bootstrap_interval(tokens, mean, resamples, seed)),
                "stopped": asdict(wilson_interval(stopped, len(answers))),
                "empty": asdict(wilson_interval(empty, len(answers))),
            }
        )
    return by_budget
