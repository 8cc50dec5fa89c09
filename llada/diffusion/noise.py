"""The randomness of the forward process, as pure functions of (seed, step, row).

What is drawn for a row depends on the seed, the step, the row's place in the *global* batch and the index of each
token among the row's answer tokens, and on nothing else: not on padding, micro-batches, workers, ranks, or what was
drawn before. So training resumes exactly, and the same run on 1, 2 or 4 processes sees the same noise.

The generator is Philox 4x64-10 (Salmon et al., 2011), as numpy implements it: key (seed, step), counter
(draw, 0, row, stream); 64-bit outputs in order, the upper 53 bits of each over 2^53. Streams: 0 noise levels, 1 masks,
2 the likelihood bound, 3 (row 0) the permutation of the strata, by sorting. Runs on the CPU, about ten microseconds per
row; draw in the collator, then move the masks with the tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-3  # the smallest mask probability (LLaDA, section 2.2 and its guideline)
LEVEL_STREAM, MASK_STREAM, BOUND_STREAM, STRATA_STREAM = 0, 1, 2, 3


def uniform(seed: int, step: int, row: int, stream: int, count: int) -> np.ndarray:
    """The first `count` numbers, float64 in [0, 1), of one row's stream. A longer draw begins with the shorter one."""
    key = np.array([seed, step], dtype=np.uint64)
    counter = np.array([0, 0, row, stream], dtype=np.uint64)
    raw = np.random.Philox(key=key, counter=counter).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def noise_levels(
    seed: int,
    step: int,
    rows: Sequence[int],
    *,
    global_batch_size: int,
    stratified: bool = True,
    epsilon: float = EPSILON,
) -> Tensor:
    """Mask probabilities p = (1 - eps) u + eps, float32 (len(rows),), with u uniform on [0, 1).

    Stratified: u = (stratum + v) / global_batch_size, with v uniform per row and the strata 0, 1, 2 ... dealt to the
    rows by a random permutation per step. Every row's u is still uniform, so the loss stays unbiased, while each step
    covers all noise levels, which lowers the variance of its loss by about global_batch_size^2 where the loss is smooth
    in t (Cochran, "Sampling Techniques", chapter 5; the 1/t weight and the masks leave noise of their own).

    Args:
        rows: indices within the global batch, each below `global_batch_size`.
    """
    if rows and not 0 <= min(rows) <= max(rows) < global_batch_size:
        raise ValueError(f"rows: {min(rows)} to {max(rows)}; must lie in [0, global_batch_size {global_batch_size})")
    u = np.array([uniform(seed, step, row, LEVEL_STREAM, 1)[0] for row in rows])
    if stratified:
        strata = np.argsort(uniform(seed, step, 0, STRATA_STREAM, global_batch_size), kind="stable")
        u = (strata[list(rows)] + u) / global_batch_size
    return torch.from_numpy((1 - epsilon) * u + epsilon).to(torch.float32)


def noise_mask(seed: int, step: int, rows: Sequence[int], maskable: Tensor, t: Tensor) -> Tensor:
    """Mask every answer token independently with its row's probability: (B, L) bool on the CPU.

    Args:
        rows: the B indices within the global batch.
        maskable: (B, L), nonzero where a token may be masked; a prompt or a pad never is.
        t: (B,) mask probabilities.
    """
    mask = torch.zeros(maskable.shape, dtype=torch.bool)
    for index, row in enumerate(rows):
        columns = maskable[index].cpu().nonzero().squeeze(1)
        drawn = torch.from_numpy(uniform(seed, step, row, MASK_STREAM, len(columns)))
        mask[index, columns] = drawn < t[index].item()
    return mask


def validation_noise(seed: int, rows: Sequence[int], maskable: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """K fixed draws per row, the noise levels stratified over them: t (K, B) float32 and masks (K, B, L) bool, on
    the CPU.

    The same for every adapter and at every step, so that differences between them are not noise. `rows` number the
    validation set.
    """
    levels, masks = [], []
    for draw in range(draws):
        u = np.array([(draw + uniform(seed, draw, row, LEVEL_STREAM, 1)[0]) / draws for row in rows])
        levels.append(torch.from_numpy((1 - EPSILON) * u + EPSILON).to(torch.float32))
        masks.append(noise_mask(seed, draw, rows, maskable, levels[-1]))
    return torch.stack(levels), torch.stack(masks)


def eos_tail_length(policy: str) -> int | None:
    """How many EOS pads after the answer count as answer: "all" -> None, "none" -> 0, "first:K" -> K.

    Raises:
        ValueError: another policy.
    """
    if policy == "all":
        return None
    if policy == "none":
        return 0
    match = re.fullmatch(r"first:([1-9]\d*)", policy)
    if match is None:
        raise ValueError(f"eos_tail: {policy!r}; must be all, none or first:K with K at least 1, for example first:8")
    return int(match[1])


def eos_tail_masks(prompt_lengths: Tensor, lengths: Tensor, width: int, policy: str) -> tuple[Tensor, Tensor]:
    """Which tokens of right-padded rows may be masked, and which exist at all: two (B, width) bool tensors.

    Rows are padded with EOS. "all" treats every pad as answer: masked, in the loss, in the length (the guideline, at
    the price that long generation budgets fill with EOS); "first:K" only the first K pads after the answer; "none"
    no pad. A pad that is not
    answer is padding: attention does not see it.

    Args:
        prompt_lengths, lengths: (B,) int64, tokens of the prompt, and of prompt and answer together.
        width: L of the padded batch.

    Returns:
        maskable and attention_mask.
    """
    tail = eos_tail_length(policy)
    positions = torch.arange(width, device=lengths.device)[None]
    ends = torch.full_like(lengths, width) if tail is None else (lengths + tail).clamp(max=width)
    attention_mask = positions < ends[:, None]
    return attention_mask & (positions >= prompt_lengths[:, None]), attention_mask
