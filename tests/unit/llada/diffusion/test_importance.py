"""Importance-sampled noise levels: unbiased whatever the density, and of the least second moment at the right one."""

import numpy as np
import pytest

from llada.diffusion.importance import CELLS, UNIFORM_SHARE, level_density, levels_of
from llada.diffusion.noise import EPSILON

FINE = (np.arange(200_000) + 0.5) / 200_000  # a grid over [0, 1): means over it are integrals


@pytest.mark.parametrize("power", [0, 1, 2, -1])
@pytest.mark.parametrize("seed", range(3))
def test_weighted_means_are_those_of_uniform_levels(power, seed):
    density = np.random.default_rng(seed).dirichlet(np.ones(CELLS)) * 0.9 + 0.1 / CELLS
    t, weight = levels_of(FINE, density.tolist())
    edge = 1 - EPSILON
    exact = -np.log(EPSILON) / edge if power == -1 else (1 - EPSILON ** (power + 1)) / (power + 1) / edge
    assert t.min() >= EPSILON
    assert t.max() <= 1
    assert (weight * t**power).mean() == pytest.approx(exact, rel=2e-4)


def test_equal_cells_are_the_uniform_levels():
    t, weight = levels_of(FINE, [1 / CELLS] * CELLS)
    assert np.allclose(t, EPSILON + (1 - EPSILON) * FINE, atol=1e-12)
    assert np.allclose(weight, 1)


def test_stratified_numbers_give_each_cell_its_share():
    density = level_density([4.0, 1.0, 0.5, 0.2, 0.1], np.array([5, 9, 30]))
    t, _ = levels_of(FINE, density)
    found, _ = np.histogram(t, bins=np.linspace(EPSILON, 1, CELLS + 1))
    assert np.allclose(found / len(t), density, atol=1e-5)


def test_the_density_is_that_of_the_least_second_moment():
    """The second moment of weight * f under it, against the uniform one and against the bound (E |f|)^2 that no density
    passes; f(t)^2 = v^2 (1 + (1 - t) / (L t)) with planted v.
    """
    squares, L = [0.3, 1.0, 2.5, 6.0, 12.0], 12
    t = np.linspace(EPSILON, 1, 20_001)
    f = np.sqrt(np.interp(t, (np.arange(5) + 0.5) / 5, squares) * (1 + (1 - t) / (L * t)))

    def second_moment(density):
        drawn, weight = levels_of(FINE, density)
        return ((weight * np.interp(drawn, t, f)) ** 2).mean()

    chosen = second_moment(level_density(squares, np.full(7, L)))
    uniform = second_moment([1 / CELLS] * CELLS)
    least = np.interp(EPSILON + (1 - EPSILON) * FINE, t, f).mean() ** 2
    assert least <= chosen < 1.02 * least
    assert uniform > 1.2 * chosen


def test_no_weight_is_large_and_nothing_measured_is_uniform():
    density = level_density([1e9, 1e-9, 1e-9, None, 1e-9], np.array([1]))
    _, weight = levels_of(FINE, density)
    assert weight.max() <= 1 / UNIFORM_SHARE + 1e-9
    assert sum(density) == pytest.approx(1)
    for nothing in ([], [None, None], [0.0, 0.0], [float("nan")]):
        assert level_density(nothing, np.array([3])) == [1 / CELLS] * CELLS
