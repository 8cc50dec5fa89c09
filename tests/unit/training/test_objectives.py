"""Objectives, mask pairs and levels: each estimate of the loss against the enumeration of all its masks.

A made-up network gives every (noisy row, position) a cross-entropy of its own, so any wrong mask, level, weight or
denominator moves the mean.
"""

import functools
import hashlib
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from llada.diffusion.noise import EPSILON
from tests.support.small_world import EOS, MASK
from training.batching import Rows
from training.config import TrainConfig
from training.global_batch import GlobalBatch, step_noise

CONFIG = SimpleNamespace(
    eos_token_id=EOS, pad_token_id=EOS, mask_token_id=MASK, max_sequence_length=64, tail_token_ids=(50, 51)
)
PROMPT, ANSWER, TAIL, BLOCK = 2, 3, 1, 2
ROWS = Rows(
    [f"row {number}" for number in range(4)],
    [np.array([number + 1, 9, 20, 21 + number, 22], dtype=np.int32) for number in range(4)],
    np.full(4, PROMPT),
)
LEVELS, LEVEL_WEIGHTS = np.polynomial.legendre.leggauss(60)
DENSITY = (np.linspace(3, 1, 20) / np.linspace(3, 1, 20).sum()).tolist()


@functools.cache
def cross_entropy(noisy: tuple[int, ...], position: int) -> float:
    digest = hashlib.sha256(str((noisy, position)).encode()).digest()
    return 1 + int.from_bytes(digest[:4], "big") / 2**31


def region(objective: str) -> list[tuple[list[int], list[int], float]]:
    """What may be masked, what is hidden behind it, and the weight: one entry per block, equally probable."""
    end = PROMPT + ANSWER + TAIL
    if objective == "sequence":
        return [(list(range(end)), [], 1 / end)]
    answer = list(range(PROMPT, end))
    if objective == "answer":
        return [(answer, [], 1 / len(answer))]
    starts = range(PROMPT, end, BLOCK)
    return [
        (list(range(start, min(start + BLOCK, end))), list(range(start + BLOCK, end)), len(starts) / len(answer))
        for start in starts
    ]


def enumerated(row: int, objective: str, low: float, high: float) -> float:
    """The expected loss of a row: over blocks, levels (by quadrature) and every subset of masks."""
    clean = [*ROWS.tokens[row].tolist(), *[EOS] * TAIL]
    levels = (high - low) / 2 * LEVELS + (high + low) / 2
    total, parts = 0.0, region(objective)
    for free, hidden, weight in parts:
        for size in range(1, len(free) + 1):
            chance = levels**size * (1 - levels) ** (len(free) - size) / levels
            share = float((LEVEL_WEIGHTS / 2 * chance).sum())
            for masked in itertools.combinations(free, size):
                noisy = tuple(MASK if place in (*masked, *hidden) else token for place, token in enumerate(clean))
                total += weight * share * sum(cross_entropy(noisy, place) for place in masked) / len(parts)
    return total


def estimates(objective: str, complementary: bool, density: list[float] | None, steps: int) -> np.ndarray:
    """The loss of the four rows, (steps,), as training computes it: sums of CE over levels, over the part's length."""
    copies = 2 if complementary else 1
    indices = np.repeat(np.arange(4), copies)
    found = []
    for step in range(steps):
        noise = step_noise(5, step, len(indices), True, complementary=complementary, density=density)
        found.append(loss_of(GlobalBatch(ROWS, indices, noise, f"first:{TAIL}", CONFIG, objective, BLOCK)))
    return np.array(found)


def loss_of(batch: GlobalBatch) -> float:
    micro = batch.micro_batch(np.arange(len(batch)))
    real = micro.rows.attention_mask
    loss = 0.0
    for row, columns in enumerate(micro.mask):
        ids = micro.rows.input_ids.masked_fill(micro.mask, MASK)[row]
        noisy = tuple((ids if real is None else ids[real[row].bool()]).tolist())
        summed = sum(cross_entropy(noisy, place) for place in columns.nonzero()[:, 0].tolist())
        loss += summed / float(micro.levels[row]) / int(micro.rows.maskable[row].sum())
    return loss / batch.denominator("answer_length")


@pytest.mark.parametrize("density", [None, DENSITY], ids=["uniform", "importance"])
@pytest.mark.parametrize("complementary", [False, True], ids=["independent", "complementary"])
@pytest.mark.parametrize("objective", ["answer", "sequence", "block"])
def test_the_mean_is_the_enumerated_loss(objective, complementary, density):
    low, high = EPSILON, 1 - EPSILON if complementary else 1.0
    exact = np.mean([enumerated(row, objective, low, high) for row in range(4)])
    found = estimates(objective, complementary, density, steps=400)
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert error < 0.08 * exact
    assert abs(found.mean() - exact) < 3.5 * error  # one in 2,000 by chance, and twelve cases of a fixed seed


@pytest.mark.parametrize("objective", ["answer", "block"])
def test_each_token_is_masked_in_one_of_a_pair(objective):
    noise = step_noise(1, 2, 8, True, complementary=True)
    batch = GlobalBatch(ROWS, np.repeat(np.arange(4), 2), noise, "random:3", CONFIG, objective, BLOCK)
    micro = batch.micro_batch(np.arange(8))
    for first in range(0, 8, 2):
        assert torch.equal(micro.rows.maskable[first], micro.rows.maskable[first + 1])
        assert torch.equal(micro.mask[first] ^ micro.mask[first + 1], micro.rows.maskable[first])
    assert torch.equal(noise.levels[0::2] + noise.levels[1::2], torch.ones(4))


@pytest.mark.parametrize("objective", ["answer", "sequence", "block"])
@pytest.mark.parametrize("normalizer", ["answer_length", "batch_tokens", "masked_count"])
def test_parts_and_whole_have_the_same_noise(objective, normalizer):
    noise = step_noise(1, 2, 8, True, complementary=True, density=DENSITY)
    batch = GlobalBatch(ROWS, np.repeat(np.arange(4), 2), noise, "first:1", CONFIG, objective, BLOCK, normalizer)
    whole = batch.micro_batch(np.arange(8))
    for positions in (np.array([1, 6]), np.array([3])):
        part = batch.micro_batch(positions)
        assert torch.equal(part.mask, whole.mask[positions])
        assert torch.equal(part.levels, whole.levels[positions])
        assert torch.equal(part.rows.input_ids, whole.rows.input_ids[positions])


def test_an_odd_batch_has_no_pairs():
    with pytest.raises(ValueError, match="even global_batch_size"):
        TrainConfig(masks="complementary", global_batch_size=7)
    assert TrainConfig(masks="complementary", global_batch_size=8).distinct_rows == 4


@pytest.mark.parametrize("objective", ["answer", "sequence"])
def test_rows_cut_at_a_random_length_have_the_mean_of_the_beginnings(objective):
    """`random_length` mixes the whole row with its tail, and each beginning of the answer without one, by its share."""
    share, exact = 0.4, []
    for row in range(4):
        whole = enumerated(row, objective, EPSILON, 1.0)
        beginnings = [enumerated_beginning(row, objective, kept) for kept in range(1, ANSWER)]
        uncut = enumerated(row, objective, EPSILON, 1.0)  # a cut behind the last token leaves the row whole
        exact.append((1 - share) * whole + share * (sum(beginnings) + uncut) / ANSWER)
    found = []
    for step in range(500):
        noise = step_noise(5, step, 4, True)
        batch = GlobalBatch(ROWS, np.arange(4), noise, f"first:{TAIL}", CONFIG, objective, random_length=share)
        found.append(loss_of(batch))
    error = np.std(found, ddof=1) / math.sqrt(len(found))
    assert abs(np.mean(found) - np.mean(exact)) < 3.5 * error
    assert error < 0.08 * np.mean(exact)


def enumerated_beginning(row, objective, kept):
    clean = ROWS.tokens[row].tolist()[: PROMPT + kept]
    free = list(range(len(clean))) if objective == "sequence" else list(range(PROMPT, len(clean)))
    levels, total = (1 - EPSILON) / 2 * LEVELS + (1 + EPSILON) / 2, 0.0
    for size in range(1, len(free) + 1):
        share = float((LEVEL_WEIGHTS / 2 * levels ** (size - 1) * (1 - levels) ** (len(free) - size)).sum())
        for masked in itertools.combinations(free, size):
            noisy = tuple(MASK if place in masked else token for place, token in enumerate(clean))
            total += share * sum(cross_entropy(noisy, place) for place in masked) / len(free)
    return total


def test_a_pair_of_complements_is_cut_at_the_same_place():
    noise = step_noise(1, 2, 8, True, complementary=True)
    batch = GlobalBatch(ROWS, np.repeat(np.arange(4), 2), noise, "rainbow:2", CONFIG, random_length=1.0)
    micro = batch.micro_batch(np.arange(8))
    for first in range(0, 8, 2):
        assert torch.equal(micro.rows.input_ids[first], micro.rows.input_ids[first + 1])
        assert torch.equal(micro.mask[first] ^ micro.mask[first + 1], micro.rows.maskable[first])
