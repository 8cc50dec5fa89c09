"""What speed costs: the points that no other beats, the area under a curve of quality by parallelism, and the picture.

AUP (accuracy under parallelism): Qian et al. 2026, arXiv 2601.07568 (d3LLM), here with chrF++ as the quality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

Point = tuple[float, float]
"""Cost or parallelism, and quality from 0 to 100."""


def front(points: Sequence[Point]) -> list[Point]:
    """The points (cost, quality) that no other point beats in both, by rising cost."""
    kept: list[Point] = []
    for cost, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((cost, quality))
    return kept


def area_under_parallelism(
    points: Sequence[Point], best: float, alpha: float = 3.0, allowed_loss: float = 5.0
) -> float:
    """AUP of one rule's points (tokens per forward pass, quality).

    rho_1 y_1 + sum of (rho_i - rho_(i-1)) (y_i W(y_i) + y_(i-1) W(y_(i-1))) / 2, with
    W(y) = min(exp(-alpha (1 - y / best)), 1), over the points in order of rho whose quality is at most
    `allowed_loss` below the first one's.

    Args:
        best: the best quality of any rule on these items.
    """
    ordered = sorted(points)
    kept = [point for point in ordered if point[1] >= ordered[0][1] - allowed_loss]

    def worth(quality: float) -> float:
        return quality * min(math.exp(-alpha * (1 - quality / best)), 1.0) if best > 0 else 0.0

    pairs = pairwise(kept)
    area = sum((after[0] - before[0]) * (worth(after[1]) + worth(before[1])) / 2 for before, after in pairs)
    return kept[0][0] * kept[0][1] + area


def draw(curves: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Quality against forward passes per item, one line for each curve, the front of all of them dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    for number, (name, points) in enumerate(curves.items()):
        marker = "osv^D*XPh"[number % 9]
        axes.plot(*zip(*sorted(points), strict=True), marker=marker, linewidth=0.8, markersize=4, label=name)
    best = front([point for points in curves.values() for point in points])
    axes.plot(*zip(*best, strict=True), color="black", linestyle="--", linewidth=1.5, label="no point is better")
    axes.set(xscale="log", xlabel="forward passes per item, one item at a time", ylabel="chrF++")
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
