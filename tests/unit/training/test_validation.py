"""Validation while training: fixed masks, and what it estimates."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch

from llada.diffusion.likelihood import log_likelihood
from tests.support.small_world import EOS, small_model, small_plan
from training.batching import read_rows
from training.run import processes
from training.trainer import train
from training.validation import VALIDATION_SEED, Draw, summarise, validation_draws


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Matrices this small are slower on two."""
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))


def test_validation_draws_are_fixed_stratified_and_inside_the_answer(tmp_path):
    rows = read_rows(small_plan(tmp_path).formatted / "validation.parquet")
    draws = validation_draws(rows, 4, seed=1)
    again = validation_draws(rows, 4, seed=1)
    assert all(np.array_equal(a.masked, b.masked) for a, b in zip(draws, again, strict=True))
    for row in range(len(rows)):
        own = [draw for draw in draws if draw.row == row]
        shares = [draw.share for draw in own]
        count = len(rows.tokens[row]) - rows.prompt_lengths[row]
        assert all(0 < share - k / 4 <= 1 / 4 + 1 / count for k, share in enumerate(shares))
        assert all(draw.masked.min() >= rows.prompt_lengths[row] for draw in own)
        assert all(draw.masked.max() < len(rows.tokens[row]) for draw in own)


def test_summary_is_the_mean_over_rows_with_its_normal_interval():
    draws = [Draw(0, np.array([1]), 0.1), Draw(0, np.array([1]), 0.9), Draw(1, np.array([1]), 0.2)]
    result = summarise(np.array([1.0, 3.0, 5.0]), draws, rows=2)
    assert result.loss == 3.5  # rows 2.0 and 5.0
    assert result.high - result.loss == pytest.approx(1.96 * np.std([2.0, 5.0], ddof=1) / math.sqrt(2), rel=1e-4)
    assert result.by_noise == [3.0, None, None, None, 3.0]


def test_validation_estimates_the_likelihood_bound_per_token(tmp_path):
    """Many draws of one row against the model's own likelihood estimator."""
    plan = small_plan(tmp_path, train={"validation_draws": 400, "max_steps": 1, "validation_rows": 1})
    train(plan)
    rows = read_rows(plan.formatted / "validation.parquet")
    row = int(np.random.default_rng(VALIDATION_SEED).permutation(len(rows))[0])
    tokens, prompt = torch.from_numpy(rows.tokens[row].astype(np.int64)), int(rows.prompt_lengths[row])
    estimate = log_likelihood(small_model(), tokens[:prompt], tokens[prompt:], samples=1024)
    per_token = -float(estimate.estimate) / (len(tokens) - prompt)
    with (plan.output / "curve.csv").open() as stream:
        first = next(csv.DictReader(stream))
    assert float(first["validation_loss"]) == pytest.approx(per_token, rel=0.03)
    assert EOS not in tokens
