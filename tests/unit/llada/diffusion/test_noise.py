"""The forward process: what is random, what it depends on, and what it must not depend on."""

import math

import numpy as np
import pytest
import torch

from llada.diffusion.loss import forward_process
from llada.diffusion.noise import EPSILON, noise_levels, noise_mask, uniform


def maskable_rows(lengths, width, prompt=2):
    positions = torch.arange(width)
    return torch.stack([(positions >= prompt) & (positions < prompt + length) for length in lengths])


def global_noise(step, lengths):
    rows = range(len(lengths))
    t = noise_levels(3, step, rows, global_batch_size=len(lengths))
    return t, noise_mask(3, step, rows, maskable_rows(lengths, 40), t)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_noise_is_the_same_for_any_ranks_and_micro_batches(ranks, micro_batch):
    lengths = [5, 30, 1, 12, 7, 7, 22, 16]
    t, mask = global_noise(11, lengths)
    for rank in range(ranks):
        own = list(range(rank, len(lengths), ranks))
        for start in range(0, len(own), micro_batch):
            rows = own[start : start + micro_batch]
            width = 2 + max(lengths[row] for row in rows)  # another padding than the global batch's
            part = noise_levels(3, 11, rows, global_batch_size=len(lengths))
            masked = noise_mask(3, 11, rows, maskable_rows([lengths[row] for row in rows], width), part)
            assert torch.equal(part, t[rows])
            assert torch.equal(masked, mask[rows, :width])


def test_left_padding_moves_the_mask_with_the_tokens():
    right = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 0, 0]])
    left = right.roll(2, dims=1)
    t = torch.tensor([0.5])
    assert torch.equal(noise_mask(0, 0, [5], right, t).roll(2, dims=1), noise_mask(0, 0, [5], left, t))


def test_noise_differs_between_seeds_steps_rows_and_streams():
    drawn = {uniform(*key, 1)[0] for key in np.ndindex(3, 4, 5, 3)}
    assert len(drawn) == 3 * 4 * 5 * 3


def test_longer_draw_begins_with_the_shorter_one():
    assert np.array_equal(uniform(1, 2, 3, 1, 100)[:7], uniform(1, 2, 3, 1, 7))


def test_generator_is_philox_as_documented():
    """The documented construction through numpy's own Generator, which takes the upper 53 bits of each output."""
    key, counter = np.array([8, 9], dtype=np.uint64), np.array([0, 0, 7, 1], dtype=np.uint64)
    assert np.array_equal(
        uniform(8, 9, 7, 1, 50), np.random.Generator(np.random.Philox(key=key, counter=counter)).random(50)
    )


def test_global_random_state_is_neither_read_nor_changed():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.random.get_rng_state()
    first = global_noise(0, [9, 9])
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    assert all(torch.equal(one, other) for one, other in zip(first, global_noise(0, [9, 9]), strict=True))


@pytest.mark.parametrize("stratified", [True, False])
def test_levels_are_uniform_for_every_row(stratified):
    levels = torch.stack(
        [noise_levels(0, step, range(4), global_batch_size=4, stratified=stratified) for step in range(4000)]
    )
    assert levels.min() >= EPSILON
    assert levels.max() <= 1
    for row in levels.T:  # Kolmogorov-Smirnov at 0.1%: 1.95 / sqrt(n)
        sorted_row = (row.double().sort().values - EPSILON) / (1 - EPSILON)
        empirical = torch.arange(1, 4001) / 4000
        assert (sorted_row - empirical).abs().max() < 1.95 / math.sqrt(4000)


def test_stratified_levels_fall_one_into_each_stratum_in_random_order():
    orders = set()
    for step in range(50):
        u = (noise_levels(0, step, range(8), global_batch_size=8).double() - EPSILON) / (1 - EPSILON)
        order = tuple((u * 8).floor().int().tolist())
        assert sorted(order) == list(range(8))
        orders.add(order)
    assert len(orders) == 50


def test_stratification_lowers_the_variance_of_a_batch_by_the_factor_of_the_closed_form():
    """The mean of f(t) = t^2 over B rows: Var f / B if independent, sum of the strata's Var f / B^2 if stratified."""
    B, steps = 4, 6000
    spread = {}
    for stratified in (True, False):
        levels = [
            noise_levels(0, step, range(B), global_batch_size=B, stratified=stratified, epsilon=0.0)
            for step in range(steps)
        ]
        spread[stratified] = (torch.stack(levels).double() ** 2).mean(dim=1).var().item()

    def moment(power, low, high):
        return (high ** (power + 1) - low ** (power + 1)) / (power + 1) / (high - low)

    def variance(low, high):
        return moment(4, low, high) - moment(2, low, high) ** 2

    strata = sum(variance(row / B, (row + 1) / B) for row in range(B))
    assert spread[False] == pytest.approx(variance(0, 1) / B, rel=0.1)
    assert spread[True] == pytest.approx(strata / B**2, rel=0.1)
    assert spread[False] / spread[True] > 10


def test_share_of_masked_tokens_is_t_and_never_a_prompt():
    maskable = maskable_rows([400, 400, 400], 500, prompt=50)
    t = torch.tensor([0.1, 0.5, 0.9])
    masked = torch.stack([noise_mask(0, step, [0, 1, 2], maskable, t) for step in range(50)])
    assert not masked[:, ~maskable].any()
    share = masked.sum(dim=(0, 2)) / (50 * 400)
    for row in range(3):
        deviation = math.sqrt(t[row] * (1 - t[row]) / (50 * 400))
        assert abs(share[row] - t[row]) < 4 * deviation


def test_extreme_levels_mask_nothing_or_everything():
    maskable = maskable_rows([20, 20], 30)
    mask = noise_mask(0, 0, [0, 1], maskable, torch.tensor([0.0, 1.0]))
    assert not mask[0].any()
    assert torch.equal(mask[1], maskable[1])


def test_noisy_tokens_are_masked_where_asked_and_clean_elsewhere():
    ids, mask = torch.arange(12).view(2, 6), torch.tensor([[0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]], dtype=torch.uint8)
    noisy = forward_process(ids, mask, 99)
    assert (noisy[mask.bool()] == 99).all()
    assert torch.equal(noisy[~mask.bool()], ids[~mask.bool()])


def test_row_outside_the_global_batch_is_refused():
    with pytest.raises(ValueError, match="rows: 0 to 4"):
        noise_levels(0, 0, [0, 4], global_batch_size=4)
