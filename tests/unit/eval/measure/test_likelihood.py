"""Bounds and noise levels, on a tiny model and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.measure.english import ENGLISH_SAMPLE
from eval.measure.evaluate import load_system, read_test_set
from eval.measure.likelihood import MASK_SHARES, bounds, fit_by_mask_share
from eval.measure.retention import english_bound
from tests.support.evaluation import BASES, write_test_split

ROWS = 7


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BASES[request.param](tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def system(base: Path) -> tuple[Any, Any]:
    from adapters.config import ModelConfig

    return load_system(ModelConfig(), base, None)


@pytest.fixture(scope="module")
def rows(base: Path, tmp_path_factory: pytest.TempPathFactory):
    return read_test_set(write_test_split(tmp_path_factory.mktemp("formatted") / "test.parquet", base, ROWS))


def test_bounds_keep_the_order_and_do_not_depend_on_the_others(system, rows) -> None:
    together = bounds(system[0], rows.prompts, rows.answers, samples=4, seed=3)
    first = bounds(system[0], rows.prompts[:1], rows.answers[:1], samples=4, seed=3)
    assert together[0].estimate == pytest.approx(first[0].estimate, rel=1e-5)
    assert len(together) == ROWS
    assert all(estimate.estimate < 0 for estimate in together)


def test_bound_of_one_token_is_its_exact_log_probability(system) -> None:
    """An answer of one token can only be masked whole, so the bound is the log-probability of that token."""
    model, tokenizer = system
    prompt, answer = tokenizer.encode("Halo"), [7]
    ids = torch.tensor([[*prompt, model.config.mask_token_id]])
    expected = model(ids).logits[0, -1].log_softmax(dim=-1)[7].item()
    found = bounds(model, [prompt], [answer], samples=4, seed=0)[0]
    assert found.estimate == pytest.approx(expected, abs=1e-5)


def test_fit_by_mask_share_matches_a_loop_over_single_rows(system, rows) -> None:
    model = system[0]
    levels = fit_by_mask_share(model, rows.prompts, rows.answers, seed=5)
    for level, share in zip(levels, MASK_SHARES, strict=True):
        nats, hits, count = 0.0, 0, 0
        for row, (prompt, answer) in enumerate(zip(rows.prompts, rows.answers, strict=True)):
            order = np.random.default_rng((5, row, 3)).permutation(len(answer))
            masked = order[: max(1, round(share * len(answer)))]
            noisy = torch.tensor([*prompt, *answer])
            places = len(prompt) + torch.from_numpy(masked)
            targets = noisy[places].clone()
            noisy[places] = model.config.mask_token_id
            with torch.no_grad():
                logits = model(noisy[None]).logits[0, places].log_softmax(dim=-1)
            nats -= logits.gather(1, targets[:, None]).sum().item()
            hits += int((logits.argmax(dim=-1) == targets).sum())
            count += len(masked)
        assert level["tokens"] == count
        assert level["nats"] == pytest.approx(nats / count, rel=1e-4)
        assert level["accuracy"] == pytest.approx(hits / count)


def test_english_sample_is_scored_whole(system) -> None:
    found = english_bound(*system, samples=2, resamples=100, seed=1)
    assert found["bound_per_token"]["n"] == len(ENGLISH_SAMPLE)
    assert found["bound_per_token"]["low"] < found["bound_per_token"]["value"] < found["bound_per_token"]["high"]
    assert len(found["statistics"]["bound_per_token"]) == len(ENGLISH_SAMPLE)
