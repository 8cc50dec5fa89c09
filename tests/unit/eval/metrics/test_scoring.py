"""Scores with their intervals."""

from __future__ import annotations

from eval.metrics.scoring import score_all
from eval.metrics.statistics import Array
from tests.support.evaluation import ANSWERS


def test_every_metric_scores_with_an_interval_around_the_value(statistics: dict[str, Array]) -> None:
    for key, interval in score_all(statistics, resamples=200, seed=0).items():
        assert interval.n == len(ANSWERS)
        assert interval.low is not None, key
        assert interval.high is not None, key
        assert interval.low <= interval.high, key
        if key not in ("bleu", "chrf"):  # not linear in the items: five of them may put the value outside
            assert interval.low - 1e-12 <= interval.value <= interval.high + 1e-12, key
