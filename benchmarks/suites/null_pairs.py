"""How often a paired test calls two equal systems different, where the items come in groups.

    python benchmarks/suites/null_pairs.py --output benchmarks/results/null_pairs.json

Both systems answer every item right with probability one half; the answers of one system to the items of one group are
correlated. The test by groups is that of the report, the naive one exchanges single items.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from common.files import write_json
from eval.metrics.groups import compare_groups
from eval.metrics.statistics import SIGNIFICANT, Array, mean, mean_statistics, randomisation_p

GROUP = 20  # items of a group


def null_pair(groups: int, correlation: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Right or wrong, (groups x GROUP,), of two systems that are equally good.

    An item copies its group's common answer with probability sqrt(correlation), else it has its own: any two items of a
    group are then correlated by `correlation`, and so are the differences between the systems.
    """

    def system() -> Array:
        common = rng.random((groups, 1)) < 0.5
        own = rng.random((groups, GROUP)) < 0.5
        copied = rng.random((groups, GROUP)) < np.sqrt(correlation)
        return np.where(copied, common, own).astype(np.float64).reshape(-1)

    return system(), system()


def rejected(
    pairs: int, *, groups: int, correlation: float, permutations: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The shares of null pairs with p at most 0.05: by groups, and by items."""
    rng = np.random.default_rng(seed)
    labels = [str(place // GROUP) for place in range(groups * GROUP)]
    clustered = naive = 0
    for pair in range(pairs):
        first, second = map(mean_statistics, null_pair(groups, correlation, rng))
        compared = compare_groups(("a", "b"), "", (first, second), labels, permutations=permutations, seed=pair)
        clustered += compared.p <= SIGNIFICANT
        naive += randomisation_p(first, second, mean, permutations, pair) <= SIGNIFICANT
    return clustered / pairs, naive / pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = []
    for groups in (10, 25, 64):
        for correlation in (0.0, 0.1, 0.3):
            by_groups, by_items = rejected(arguments.pairs, groups=groups, correlation=correlation)
            rows.append(
                {
                    "groups": groups,
                    "items_per_group": GROUP,
                    "correlation": correlation,
                    "pairs": arguments.pairs,
                    "rejected_by_groups": by_groups,
                    "rejected_by_items": by_items,
                }
            )
            print(f"{groups} groups, correlation {correlation}: {by_groups:.1%} by groups, {by_items:.1%} by items")
    write_json(arguments.output, {"level": SIGNIFICANT, "rows": rows})


if __name__ == "__main__":
    main()
