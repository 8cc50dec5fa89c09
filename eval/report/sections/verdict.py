"""Section "Verdict": headline, sentences, flags, and what the numbers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics import METRICS
from eval.metrics.statistics import Comparison
from eval.report.flags import Flag
from eval.report.formatting import listed, number
from eval.report.verdict import Verdict


@dataclass(frozen=True)
class VerdictSection:
    """detectable: the differences this test set would show, as words; empty where nothing is compared."""

    headline: str
    sentences: tuple[str, ...]
    flags: tuple[Flag, ...]
    comparisons: int
    compared: str
    detectable: str


def build(verdict: Verdict, comparisons: Sequence[Comparison]) -> VerdictSection:
    adapters = {name for one in comparisons for name in (one.first, one.second) if name != "base"}
    compared = list(dict.fromkeys(one.metric for one in comparisons))
    return VerdictSection(
        verdict.headline,
        verdict.sentences,
        verdict.flags,
        comparisons=len(comparisons),
        compared="two adapters" if len(adapters) > 1 else "the adapter and the base",
        detectable=listed((detectable_difference(key, comparisons) for key in compared), "or") if compared else "",
    )


def detectable_difference(key: str, comparisons: Sequence[Comparison]) -> str:
    """The smallest difference this test set detects between any two adapters, or between the only one and the base.

    Pairs with the base say little about adapters: their answers differ far more from item to item.
    """
    pairs = [item for item in comparisons if item.metric == key]
    between = [item for item in pairs if "base" not in (item.first, item.second)] or pairs
    return f"{number(max(item.detectable for item in between), METRICS[key])} on {METRICS[key].name}"
