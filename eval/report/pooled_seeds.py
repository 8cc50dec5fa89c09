"""Several trainings of one method, each measured on the same items: their scores together."""

from __future__ import annotations

import statistics as summary
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.metrics.definitions import METRICS
from eval.metrics.random_effects import crossed_interval
from eval.metrics.statistics import Array


def pooled_scores(
    scores: Sequence[Mapping[str, Any]], statistics: Sequence[Mapping[str, Array]]
) -> dict[str, dict[str, Any]]:
    """The scores of all trainings' answers together, in the form of `metrics` in metrics.json.

    Intervals are over items and training seeds (`eval.metrics.random_effects`). What has no share per item
    (distinct-n ...) is the mean over the trainings, without an interval.

    Args:
        scores: `metrics` of each training. statistics: per metric (n, K), of each training.
    """
    pooled = {}
    for key, first in scores[0].items():
        if key in statistics[0]:
            runs = np.stack([one[key] for one in statistics])  # (S, n, K)
            interval, error = crossed_interval(runs, METRICS[key].reduce, METRICS[key].share)
            pooled[key] = asdict(interval) | ({"standard_error": error} if "standard_error" in first else {})
        else:
            value = summary.fmean(one[key]["value"] for one in scores)
            pooled[key] = {"value": value, "low": None, "high": None, "n": first["n"]}
    return pooled
