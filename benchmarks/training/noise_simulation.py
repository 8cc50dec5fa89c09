"""The noise of a step's loss and gradient by simulation, at answer lengths that the bundled default does not have.

    python benchmarks/training/noise_simulation.py --json noise_simulation.json

In place of a network every token has a difficulty of its own, exp(N(0, 1)), and a gradient direction of its own about
a common one; where a share t of the answer is masked its cross-entropy is the difficulty times 0.2 + 0.8 t, so that it
is easier with more around it. Masks, levels and weights are those that training draws, `step_noise` of
`training.global_batch`, 8 forward rows a step, fresh rows each step; `importance` has the density that this model's
second moments give. Said per length and way: variances of the loss and of the gradient (trace of the covariance) over
those of independent levels and masks, with 95% bootstrap intervals over the steps.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.files import write_json
from llada.diffusion.importance import level_density
from training.global_batch import step_noise

WAYS: dict[str, dict[str, bool]] = {
    "independent": {},
    "stratified": {"stratified": True},
    "complementary": {"stratified": True, "complementary": True},
    "importance": {"stratified": True, "importance": True},
    "both": {"stratified": True, "complementary": True, "importance": True},
}
ROWS, WIDTH, RESAMPLES, BINS = 8, 16, 1000, 20


def estimates(
    length: int, steps: int, seed: int, density: list[float], *, stratified: bool = False, complementary: bool = False,
    importance: bool = False,
) -> np.ndarray:  # fmt: skip
    """(steps, 1 + WIDTH): loss and gradient of each step."""
    found = np.empty((steps, 1 + WIDTH))
    copies, maskable = 2 if complementary else 1, torch.ones(ROWS, length, dtype=torch.bool)
    for step in range(steps):
        random = np.random.default_rng([seed, step, length])
        difficulty = np.repeat(np.exp(random.normal(size=(ROWS // copies, length))), copies, axis=0)
        direction = np.repeat(random.normal(size=(ROWS // copies, length, WIDTH)), copies, axis=0)
        direction[..., 0] += 1.0  # what they have in common
        noise = step_noise(
            seed, step, ROWS, stratified, complementary=complementary, density=density if importance else None
        )
        mask = noise.masks(np.arange(ROWS), maskable).numpy()
        ease = 0.2 + 0.8 * mask.mean(axis=1)
        weights = noise.weights.numpy() / noise.levels.numpy() / length / ROWS
        losses = difficulty * mask * (ease * weights)[:, None]
        found[step, 0] = losses.sum()
        found[step, 1:] = np.einsum("bl,bld->d", losses, direction)
    return found


def density_at(length: int) -> list[float]:
    """The density for this model: E[v^2] of a row's mean masked cross-entropy in equal bins of t."""
    t = (np.arange(BINS) + 0.5) / BINS
    mean, variance = np.exp(0.5), np.exp(1) * (np.exp(1) - 1)
    squares = (0.2 + 0.8 * t) ** 2 * (mean**2 + variance / np.maximum(1, t * length))
    return level_density(squares.tolist(), np.array([length]))


def compared(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Ratios of variances to those of `independent`, each from its own resampled steps."""
    steps = len(found["independent"])
    samples = np.random.default_rng(0).integers(0, steps, size=(RESAMPLES, steps))

    def variances(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        of_all = values[chosen].var(axis=0, ddof=1)
        return np.array([of_all[0], of_all[1:].sum()])

    base = np.array([variances(found["independent"], one) for one in samples[::-1]])
    whole = variances(found["independent"], np.arange(steps))
    result = {}
    for name, values in found.items():
        ratio = variances(values, np.arange(steps)) / whole
        spread = np.array([variances(values, one) for one in samples]) / base
        low, high = np.quantile(spread, [0.025, 0.975], axis=0)
        mean, error = values[:, 0].mean(), values[:, 0].std(ddof=1) / steps**0.5
        result[name] = {"loss_mean": mean, "loss_mean_error": error}
        for place, what in enumerate(("loss", "gradient")):
            result[name] |= {f"{what}_ratio": ratio[place], f"{what}_ratio_95": [low[place], high[place]]}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 50, 100, 200, 500])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lengths = {}
    for length in options.lengths:
        density = density_at(length)
        ways = {name: estimates(length, options.steps, options.seed, density, **way) for name, way in WAYS.items()}
        lengths[str(length)] = compared(ways)
        print(length, json.dumps(lengths[str(length)]), flush=True)
    report = {"settings": {"steps": options.steps, "rows": ROWS, "seed": options.seed}, "lengths": lengths}
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
