"""Does the interval of a fitted exponent hold the true one? Synthetic power laws with an offset, fitted 200 times each.

    python benchmarks/training/power_law.py [--simulations 200] [--output benchmarks/results/power_law.json]

Every simulation draws runs around a known law, normal with one standard deviation, and counts whether the exponent's
95% interval holds the true exponent, whether it is open, whether the 95% interval of an extrapolation to four times
the largest x holds the true value there, and whether the 95% band at 1,500 does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from common.files import write_json
from eval.metrics.statistics import wilson_interval
from experiments.power_law import bootstrap, extrapolation, fit

ROOT = Path(__file__).resolve().parents[2]
CASES = {  # rows of the points, seeds, offset, amplitude at 1,000 rows, exponent, standard deviation of a run
    "four sizes, three seeds": ((500, 1000, 2000, 4000), 3, 0.3, 0.5, 0.5, 0.01),
    "four sizes, three seeds, noisy": ((500, 1000, 2000, 4000), 3, 0.3, 0.5, 0.5, 0.05),
    "six sizes, five seeds": ((250, 500, 1000, 2000, 4000, 8000), 5, 1.0, 0.8, 0.3, 0.02),
    "eight sizes, one seed": ((125, 250, 500, 1000, 2000, 4000, 8000, 16000), 1, 0.5, 0.5, 0.7, 0.01),
    "no offset": ((500, 1000, 2000, 4000), 3, 0.0, 1.0, 0.25, 0.01),
}


def simulate(case: tuple[Any, ...], simulations: int, seed: int) -> dict[str, Any]:
    """How often the intervals hold what is true."""
    sizes, seeds, offset, amplitude, exponent, deviation = case
    x, far = np.repeat(np.array(sizes, dtype=float), seeds), 4.0 * max(sizes)
    dice, held, opened, reached, banded = np.random.default_rng(seed), 0, 0, 0, 0
    for number in range(simulations):
        y = offset + amplitude * (x / 1000) ** -exponent + dice.normal(0, deviation, len(x))
        law = fit(x, y)
        assert law is not None
        low, high = law.exponent_low or 0.0, law.exponent_high or np.inf
        held += low <= exponent <= high
        opened += law.exponent_low is None or law.exponent_high is None
        below, above = extrapolation(x, y, far)
        reached += below <= offset + amplitude * (far / 1000) ** -exponent <= above
        inside = np.quantile(bootstrap(x, y, np.array([1500.0]), 400, number), (0.025, 0.975))
        banded += inside[0] <= offset + amplitude * 1.5**-exponent <= inside[1]
    interval = wilson_interval(held, simulations)
    return {
        "simulations": simulations,
        "exponent_held": held / simulations,
        "exponent_held_low": interval.low,
        "exponent_held_high": interval.high,
        "open_intervals": opened / simulations,
        "extrapolation_held": reached / simulations,
        "band_held": int(banded) / simulations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "power_law.json")
    options = parser.parse_args()
    found = {name: simulate(case, options.simulations, 1) for name, case in CASES.items()}
    for name, result in found.items():
        print(f"{name}: {result}")
    write_json(options.output, found)


if __name__ == "__main__":
    main()
