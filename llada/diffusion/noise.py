"""The randomness of the forward process, as pure functions of (seed, step, row).

What is drawn for a row depends on the seed, the step, the row's place in the *global* batch and the index of each
token among the row's answer tokens, and on nothing else: not on padding, micro-batches, workers, ranks, or what was
drawn before. So training resumes exactly, and the same run on 1, 2 or 4 processes sees the same noise.

The generator is Philox 4x64-10 (Salmon et al., 2011), as numpy implements it: key (seed, step), counter
(draw, 0, row, stream); 64-bit outputs in order, the upper 53 bits of each over 2^53. Streams: 0 noise levels, 1 masks,
2 the likelihood bound, 3 (row 0) the permutation of the strata, by sorting, 4 the block of the objective `block`. Runs
on the CPU, about ten microseconds per row; draw in the collator, then move the masks with the tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-3  # the smallest mask probability (LLaDA, section 2.2 and its guideline)
LEVEL_STREAM, MASK_STREAM, BOUND_STREAM, STRATA_STREAM, BLOCK_STREAM, LENGTH_STREAM = range(6)
# One generator, set to its place before every draw: a new one asks the operating system for entropy that is not used,
# which takes five times as long.
_generator, _in_turn = np.random.Philox(key=0), threading.Lock()
_NOTHING_DRAWN = {"buffer": np.zeros(4, dtype=np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


def uniform(seed: int, step: int, row: int, stream: int, count: int) -> np.ndarray:
    """The first `count` numbers, float64 in [0, 1), of one row's stream. A longer draw begins with the shorter one."""
    key = np.array([seed, step], dtype=np.uint64)
    counter = np.array([0, 0, row, stream], dtype=np.uint64)
    begun: Any = {"state": {"counter": counter, "key": key}, "bit_generator": "Philox", **_NOTHING_DRAWN}
    with _in_turn:
        _generator.state = begun
        raw = _generator.random_raw(count)
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
    """Mask probabilities p = (1 - eps) u + eps, float32 (len(rows),), with u of `level_uniforms`."""
    u = level_uniforms(seed, step, rows, global_batch_size=global_batch_size, stratified=stratified)
    return torch.from_numpy((1 - epsilon) * u + epsilon).to(torch.float32)


def level_uniforms(
    seed: int, step: int, rows: Sequence[int], *, global_batch_size: int, stratified: bool = True
) -> np.ndarray:
    """Numbers from which noise levels are made, float64 (len(rows),), each uniform on [0, 1).

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
    return u


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
