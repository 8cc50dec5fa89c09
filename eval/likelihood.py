"""The likelihood bound of every test item under one system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.progress import progress_bar
from llada.diffusion import LikelihoodEstimate, log_likelihoods

SLICE = 16  # items per step of the progress bar; each slice holds items of similar length


def bounds(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, samples: int, seed: int
) -> list[LikelihoodEstimate]:
    """Lower bounds on log p(answer | prompt) in nats, one per item, in the order given.

    The masks of an item depend on (seed, its number, its answer's length): every system is measured on the same masks.
    """
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]) + len(answers[row]), row))
    found: dict[int, LikelihoodEstimate] = {}
    with progress_bar() as progress:
        task = progress.add_task("likelihood bound", total=len(prompts), note="")
        for start in range(0, len(order), SLICE):
            rows = order[start : start + SLICE]
            estimates = log_likelihoods(
                model, [prompts[row] for row in rows], [answers[row] for row in rows], samples, seed=seed, items=rows
            )
            found.update(zip(rows, estimates, strict=True))
            progress.advance(task, len(rows))
    return [found[row] for row in range(len(prompts))]
