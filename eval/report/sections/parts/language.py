"""Part of the section "Comparison": Malay together with Indonesian where the detector cannot tell them apart.

The references are Indonesian, so what it calls Malay among them is its own error. From one reference in twenty on, the
share of both is shown, and not the two of them, whose difference would say nothing of an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.metrics import Metric
from eval.metrics.random_effects import crossed_interval
from eval.metrics.statistics import mean, wilson_interval
from eval.report.flags import mistakes_indonesian
from eval.report.load import System

BOTH = ("language_id", "language_ms")
TOGETHER = Metric(
    "language_id_or_ms",
    "Indonesian or Malay",
    "higher",
    "share of answers identified as Indonesian or Malay, which the detector takes for each other on these references",
    share=True,
)


def columns(keys: Sequence[str], ceiling: Mapping[str, float]) -> tuple[str, ...]:
    """The table's columns, those of Indonesian and Malay as one where the references are often taken for Malay."""
    if not mistakes_indonesian(ceiling):
        return tuple(keys)
    return tuple(TOGETHER.key if key == BOTH[0] else key for key in keys if key != BOTH[1])


def joined(values: Mapping[str, float]) -> dict[str, float]:
    """Plain values of a floor or the ceiling with the share of both."""
    return {**values, TOGETHER.key: sum(values[key] for key in BOTH)}


def joined_score(system: System) -> dict[str, Any]:
    """The share of both with its interval, `{value, low, high, n}`; over items and seeds where there are several."""
    if system.others:
        runs = np.stack([sum_of_both(one) for one in (system, *system.others)])  # (S, n, 2)
        return asdict(crossed_interval(runs, mean, share=True)[0])
    scores = [system.scores[key] for key in BOTH]
    share = min(1.0, max(0.0, sum(score["value"] for score in scores)))
    return asdict(wilson_interval(share * scores[0]["n"], scores[0]["n"]))


def sum_of_both(training: System) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Statistics (n, 2) of the share: no answer is in two languages."""
    first, second = (training.statistics[key] for key in BOTH)
    return np.stack([first[:, 0] + second[:, 0], first[:, 1]], axis=1)
