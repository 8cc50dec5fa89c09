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
    """Quality against forward passes per item: a panel for each cache, in it a line for each rule, which has the same
    colour and mark in all, and the front of all panels dashed. A curve's name is `rule, cache`,
    or the rule alone, which has no cache.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = {curve: (curve.rsplit(", ", 1) if ", " in curve else [curve, "none"]) for curve in curves}
    rules = list(dict.fromkeys(rule for rule, _ in names.values()))
    caches = list(dict.fromkeys(cache for _, cache in names.values()))
    looks = {rule: (plt.get_cmap("tab20")(number % 20), "osv^D*XPh"[number % 9]) for number, rule in enumerate(rules)}
    best = front([point for points in curves.values() for point in points])
    size = (4.2 * len(caches) + 0.6, 5.6)
    figure, panels = plt.subplots(1, len(caches), figsize=size, sharex=True, sharey=True, squeeze=False)
    drawn = {}
    for cache, axes in zip(caches, panels[0], strict=True):
        for curve, points in curves.items():
            rule, own = names[curve]
            colour, marker = looks[rule]
            if own == cache:
                line = {"color": colour, "marker": marker, "linewidth": 0.8, "markersize": 5}
                [drawn[rule]] = axes.plot(*zip(*sorted(points), strict=True), **line)
        style = {"color": "black", "linestyle": "--", "linewidth": 1.2}
        [drawn["no point of any panel is better"]] = axes.plot(*zip(*best, strict=True), **style)
        axes.set(xscale="log", xlabel="forward passes per item, one item at a time", title=f"cache: {cache}")
    panels[0][0].set_ylabel("chrF++")
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    figure.legend(drawn.values(), drawn.keys(), loc="lower center", fontsize=8, ncols=6)
    figure.savefig(path)
    plt.close(figure)
