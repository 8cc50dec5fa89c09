"""A power law with an offset, L(x) = E + A (x / c)^(-exponent), fitted to runs at several x with several seeds each.

The form is that of Hestness et al. 2017 (arXiv 1712.00409) and Hoffmann et al. 2022 (arXiv 2203.15556); E, A >= 0, and
c is the geometric mean of the x. scipy's `curve_fit` gives the point estimate. Exponent and offset are strongly
correlated, so a normal interval misleads: the 95% intervals of exponent and extrapolation hold what an F test does not
reject (profile likelihood: Bates and Watts, "Nonlinear Regression", 1988, section 6.1). The band through the points is
a bootstrap over seeds: runs are drawn anew around the fitted curve from all runs' deviations from the mean of their
point. `benchmarks/training/power_law.py` counts how often they hold what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EXPONENTS = np.geomspace(0.02, 5.0, 400)
"""Where the exponent is looked for; an interval that reaches an end is open there."""
LEAST_POINTS = 4
"""Different x: three parameters pass through three."""


@dataclass(frozen=True)
class PowerLaw:
    """low and high of the exponent's 95% interval are None where it is open: the runs do not determine it."""

    offset: float
    amplitude: float
    exponent: float
    exponent_low: float | None
    exponent_high: float | None
    centre: float
    """c: amplitude is the part above the offset at this x."""

    def __call__(self, x: Array | float) -> Array:
        return self.offset + self.amplitude * (np.asarray(x, dtype=np.float64) / self.centre) ** -self.exponent


def fit(x: Sequence[float] | Array, y: Sequence[float] | Array) -> PowerLaw | None:
    """The law through runs (x, y), or None with fewer than four different x.

    Raises:
        ValueError: an x that is not positive, or a number that is not finite.
    """
    from scipy.optimize import curve_fit

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(np.unique(x)) < LEAST_POINTS:
        return None
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise ValueError("x must be positive, and every number finite")
    centre = float(np.exp(np.log(np.unique(x)).mean()))
    scaled = x / centre
    errors, offsets, amplitudes = profile(scaled, y[None])
    best = int(errors[:, 0].argmin())
    start = (max(offsets[best, 0], 1e-12), max(amplitudes[best, 0], 1e-12), EXPONENTS[best])
    bounds = ((0, 0, EXPONENTS[0]), (np.inf, np.inf, EXPONENTS[-1]))
    (offset, amplitude, exponent), _ = curve_fit(_law, scaled, y, p0=start, bounds=bounds, x_scale=start)
    low, high = _interval(errors[:, 0], len(y))
    return PowerLaw(float(offset), float(amplitude), float(exponent), low, high, centre)


def _law(x: Array, offset: float, amplitude: float, exponent: float) -> Array:
    return offset + amplitude * x**-exponent


def profile(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """For each exponent of EXPONENTS and each of S samples y (S, n): the least squared error, and the offset and
    amplitude that give it, (G, S) each. Both are at least 0: where one would be negative, the better edge is taken.
    """
    powers = x[None] ** -EXPONENTS[:, None]  # (G, n)
    mean, level = powers.mean(axis=1, keepdims=True), y.mean(axis=1)  # (G, 1), (S,)
    spread = ((powers - mean) ** 2).sum(axis=1, keepdims=True)  # (G, 1)
    slope = ((powers - mean) @ y.T) / spread  # (G, S)
    offset = level - slope * mean
    alone = np.maximum((powers @ y.T) / (powers**2).sum(axis=1, keepdims=True), 0)  # without an offset
    slope_edge, offset_edge = np.where(slope < 0, 0.0, alone), np.where(slope < 0, np.maximum(level, 0), 0.0)
    inside = (slope >= 0) & (offset >= 0)
    amplitudes, offsets = np.where(inside, slope, slope_edge), np.where(inside, offset, offset_edge)
    n, squares, total = len(x), (y**2).sum(axis=1), y.sum(axis=1)
    errors = (
        squares
        - 2 * offsets * total
        - 2 * amplitudes * (powers @ y.T)
        + n * offsets**2
        + 2 * offsets * amplitudes * n * mean
        + amplitudes**2 * (powers**2).sum(axis=1, keepdims=True)
    )
    return errors, offsets, amplitudes


def _interval(errors: Array, runs: int) -> tuple[float | None, float | None]:
    """The exponents that the F test with 1 and runs - 3 degrees of freedom does not reject at 5%."""
    inside = np.flatnonzero(errors <= _limit(errors, runs))
    low, high = inside[0], inside[-1]
    return (
        None if low == 0 else float(EXPONENTS[low - 1]),  # outwards to the next exponent of the grid
        None if high == len(EXPONENTS) - 1 else float(EXPONENTS[high + 1]),
    )


def _limit(errors: Array, runs: int) -> float:
    """The largest squared error that is not rejected."""
    from scipy.stats import f

    left = runs - 3
    return float(errors.min() * (1 + f.ppf(0.95, 1, left) / left))


def extrapolation(x: Sequence[float] | Array, y: Sequence[float] | Array, at: float) -> tuple[float, float]:
    """The 95% interval of L(at): the values there of all laws that the F test does not reject.

    For one exponent these laws are an ellipse in offset and amplitude, without what is negative; the largest and the
    smallest value lie on its edge.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centre = float(np.exp(np.log(np.unique(x)).mean()))
    errors, offsets, amplitudes = profile(x / centre, y[None])
    limit, reached = _limit(errors[:, 0], len(y)), []
    for number in np.flatnonzero(errors[:, 0] <= limit):
        exponent = EXPONENTS[number]
        columns = np.stack([np.ones(len(x)), (x / centre) ** -exponent], axis=1)  # (n, 2)
        laws = np.vstack([_edge(columns, y, limit), [[offsets[number, 0], amplitudes[number, 0]]]])
        laws = laws[(laws >= 0).all(axis=1)]
        reached += [laws @ np.array([1.0, (at / centre) ** -exponent])]
    values = np.concatenate(reached)
    return float(values.min()), float(values.max())


def _edge(columns: Array, y: Array, limit: float) -> Array:
    """Offsets and amplitudes, (m, 2), whose squared error is `limit`: all around, and where an axis is met."""
    square = columns.T @ columns
    best = np.linalg.solve(square, columns.T @ y)
    room = max(0.0, limit - float(((y - columns @ best) ** 2).sum()))
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    edge = [best + np.sqrt(room) * circle @ np.linalg.inv(np.linalg.cholesky(square))]
    for kept in (0, 1):  # the other is zero
        column = columns[:, kept]
        roots = np.roots([column @ column, -2 * column @ y, y @ y - limit])
        points = np.zeros((2, 2))
        points[: len(roots), kept] = roots.real
        edge += [points[: len(roots)][np.isreal(roots)]]
    return np.vstack(edge)


def bootstrap(x: Sequence[float] | Array, y: Sequence[float] | Array, at: Array, resamples: int, seed: int) -> Array:
    """Values at `at` (m,) of laws fitted to `resamples` redrawn sets of runs, (resamples, m).

    Raises:
        ValueError: fewer than four different x.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    law = fit(x, y)
    if law is None:
        raise ValueError(f"a power law needs runs at {LEAST_POINTS} different x")
    draws = np.random.default_rng(seed).choice(deviations(x, y, law), size=(resamples, len(y)))
    scaled = x / law.centre
    errors, offsets, amplitudes = profile(scaled, law(x) + draws)
    best, sample = errors.argmin(axis=0), np.arange(resamples)
    powers = (at[None] / law.centre) ** -EXPONENTS[best][:, None]  # (resamples, m)
    return offsets[best, sample][:, None] + amplitudes[best, sample][:, None] * powers


def deviations(x: Array, y: Array, law: PowerLaw) -> Array:
    """What seeds do to a run: its distance from the mean of its point, widened by sqrt(S / (S - 1)) for S seeds; where
    every point has one run, from the curve, widened for its three parameters.
    """
    found = []
    for point in np.unique(x):
        runs = y[x == point]
        if len(runs) > 1:
            found += list((runs - runs.mean()) * np.sqrt(len(runs) / (len(runs) - 1)))
    if found:
        return np.array(found)
    rest = y - law(x)
    return (rest - rest.mean()) * np.sqrt(len(y) / max(1, len(y) - 3))
