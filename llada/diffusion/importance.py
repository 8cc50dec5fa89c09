"""Noise levels drawn where the loss varies most, with the exact weights that keep it unbiased.

A row's loss at noise level t is f(t) = (1 / L) sum over masked of CE / t. Drawn from a density p in place of the
uniform one and divided by it, its expectation stays, and its second moment is least where p is proportional to the root
of E[f(t)^2] (Rubinstein and Kroese, "Simulation and the Monte Carlo Method", section 5.6). With v the mean
cross-entropy of a row's masked tokens and l ~ Binomial(L, t) of them, E[f(t)^2] = E[v^2] (1 + (1 - t) / (L t)) where
v does not depend on l. E[v^2] is what the validations of the run measure.

The density is constant on `CELLS` cells of equal width, so its weights are exact whatever it is, and is mixed with the
uniform one, so that no weight exceeds 1 / `UNIFORM_SHARE`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llada.diffusion.noise import EPSILON

CELLS = 50
UNIFORM_SHARE = 0.2


def level_density(squares: Sequence[float | None], lengths: np.ndarray, epsilon: float = EPSILON) -> list[float]:
    """The probability of each cell of [epsilon, 1], (CELLS,); all equal where nothing was measured.

    Args:
        squares: E[v^2] in equal bins of t, in nats^2; None where a bin has no measurement: its neighbours' then.
        lengths: (rows,) answer tokens L.
    """
    known = [place for place, square in enumerate(squares) if square is not None and np.isfinite(square)]
    edges = np.linspace(epsilon, 1, CELLS + 1)
    t = (edges[1:] + edges[:-1]) / 2
    if not known or all(squares[place] == 0 for place in known):
        return [1 / CELLS] * CELLS
    centres = (np.array(known) + 0.5) / len(squares)
    square = np.interp(t, centres, np.array([squares[place] for place in known], dtype=np.float64))
    second = square * (1 + (1 - t) / t * np.mean(1 / np.maximum(1, lengths)))
    ideal = np.sqrt(second)
    return ((1 - UNIFORM_SHARE) * ideal / ideal.sum() + UNIFORM_SHARE / CELLS).tolist()


def levels_of(
    u: np.ndarray, density: Sequence[float], epsilon: float = EPSILON, top: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Levels t in [epsilon, top] with that density, and their weights: the uniform density over it. Both float64.

    Args:
        u: uniform on [0, 1); stratified ones stay so, through the inverse of the distribution function.
    """
    share = np.asarray(density, dtype=np.float64)
    ends = np.cumsum(share)
    ends[-1] = 1.0
    cell = np.searchsorted(ends, u, side="right")
    within = (u - (ends[cell] - share[cell])) / share[cell]
    t = epsilon + (top - epsilon) * (cell + np.clip(within, 0.0, 1.0)) / len(share)
    return t, 1 / (len(share) * share[cell])
