"""Part of the section "Verdict": three answers that show the difference, chosen by a rule and not by hand.

The first test items of three different subsets that the best adapter answers right and the base does not. A subset that
is missing then gives the item at the median of its gains in chrF++ over the base, best adapter minus base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics.definitions import ACCURACY, SECONDARY
from eval.report.labels import Labels, SystemLabel
from eval.report.load import System
from eval.report.sections.answers import AnsweredItem, answered_item

SHOWN = 3


@dataclass(frozen=True)
class Examples:
    """best: the adapter that the choice goes by. told: how many of the items it answers right and the base does not."""

    items: list[AnsweredItem]
    best: SystemLabel
    told: int


def build(systems: Sequence[System], labels: Labels) -> Examples:
    best, base = best_adapter(systems), next((system for system in systems if system.name == "base"), None)
    told = told_apart(best, base)
    rows = sorted(told + at_the_median(best, base, without=told))
    return Examples([answered_item(row, systems, labels) for row in rows], labels[best.name], len(told))


def best_adapter(systems: Sequence[System]) -> System:
    """The adapter with the highest accuracy where answers have keys, else chrF++; the base where there is none."""
    adapters = [system for system in systems if system.name != "base"] or list(systems)
    return max(adapters, key=lambda system: (system.value(ACCURACY) or 0.0, system.value(SECONDARY) or 0.0))


def told_apart(best: System, base: System | None) -> list[int]:
    """The first item of each subset, at most SHOWN, that the adapter answers right and the base does not."""
    first: dict[str, int] = {}
    for row, item in enumerate(best.items if base else ()):
        if item.get("right") and base and base.items[row].get("right") is False:
            first.setdefault(item["subset_name"], row)
    return sorted(first.values())[:SHOWN]


def at_the_median(best: System, base: System | None, without: Sequence[int]) -> list[int]:
    """Of subsets that have none among `without`, the item at the (lower) median of the gain in chrF++; where subsets
    are fewer than SHOWN, further items, from the one nearest the median of all.
    """
    gains = [item["scores"][SECONDARY] for item in best.items]
    if base and base is not best:
        gains = [gain - item["scores"][SECONDARY] for gain, item in zip(gains, base.items, strict=True)]
    by_subset: dict[str, list[int]] = {}
    for row, item in enumerate(best.items):
        by_subset.setdefault(item["subset_name"], []).append(row)
    medians = [_ordered(rows, gains)[(len(rows) - 1) // 2] for rows in by_subset.values() if not {*rows} & {*without}]
    ordered = _ordered(range(len(gains)), gains)
    middle = gains[ordered[(len(ordered) - 1) // 2]]
    nearest = sorted(ordered, key=lambda row: (abs(gains[row] - middle), row))
    others = [row for row in nearest if row not in (*without, *medians)]
    return [*medians, *others][: max(0, SHOWN - len(without))]


def _ordered(rows: Sequence[int], gains: Sequence[float]) -> list[int]:
    return sorted(rows, key=lambda row: (gains[row], row))
