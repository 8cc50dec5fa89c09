"""Scores from sums of statistics, for one sum and for many."""

from __future__ import annotations

import numpy as np

from eval.metrics import METRICS


def test_corpus_scores_of_a_batch_of_sums_equal_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for key, width in (("chrf", 24), ("bleu", 10)):
        sums = rng.integers(0, 50, size=(7, width)).astype(float)
        if key == "chrf":
            sums = sums.reshape(7, 8, 3)
            sums[..., 2] = np.minimum(sums[..., 2], sums[..., :2].min(axis=-1))
            sums = sums.reshape(7, 24)
        reduce = METRICS[key].reduce
        assert np.allclose(reduce(sums), [float(reduce(row)) for row in sums])
