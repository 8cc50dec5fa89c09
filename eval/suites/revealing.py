"""Confidence-ordered revealing: an answer's tokens are uncovered one by one, the surest first.

All of the answer is masked. Each step gives every masked position the probability of the answer's own token there; the
most probable one is revealed, its log-probability is added, and the model is asked again with it in sight. The sum is
the log-likelihood of the answer along that order. After the scoring of iLLaDA ("Improved Large Language Diffusion
Models", arXiv 2606.25331), as we read it: a deterministic rule in place of the bound's random masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llada.diffusion.bound import masked_batch, masked_cross_entropy
from llada.network.modeling import LLaDAModelLM

MAX_TOKENS = 16384  # padded tokens per forward pass


@torch.no_grad()
def revealed_log_likelihoods(
    network: LLaDAModelLM,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    max_tokens: int = MAX_TOKENS,
) -> list[float]:
    """The log-probability of each answer in nats along its own most confident order. Answers have at least one token.

    A pass works on as many rows as fit; a row drops out when its answer is uncovered.
    """
    totals = [0.0] * len(prompts)
    masked = [list(range(len(answer))) for answer in answers]
    rows = [torch.tensor([*prompt, *answer]) for prompt, answer in zip(prompts, answers, strict=True)]
    while pending := [row for row in range(len(rows)) if masked[row]]:
        pending.sort(key=lambda row: (-len(rows[row]), row))
        room = max(1, max_tokens // len(rows[pending[0]]))
        for start in range(0, len(pending), room):
            _reveal(network, pending[start : start + room], rows, [len(prompt) for prompt in prompts], masked, totals)
    return totals


def _reveal(
    network: LLaDAModelLM,
    chosen: Sequence[int],
    rows: Sequence[torch.Tensor],
    begins: Sequence[int],
    masked: list[list[int]],
    totals: list[float],
) -> None:
    """One step of the rows `chosen`: the most probable masked token of each is uncovered."""
    positions = [begins[row] + torch.tensor(masked[row]) for row in chosen]
    batch = masked_batch([rows[row] for row in chosen], positions, network.config.mask_token_id, network.device)
    losses = masked_cross_entropy(network, batch)
    for row, own in zip(chosen, losses.split([len(masked[row]) for row in chosen]), strict=True):
        surest = int(own.argmin())
        totals[row] -= float(own[surest])
        del masked[row][surest]
