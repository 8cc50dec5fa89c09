"""The part that reads the bundled base on: what it learns from, and when it keeps what came out."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from benchmarks.cuda_parts import base
from benchmarks.cuda_parts.setting import Setting
from data_prep.bundled.language import plain_text
from data_prep.bundled.models.pretraining import Recipe, learning_rate_factor
from llada.chat_format import START_HEADER_TOKEN, load_tokenizer, special_token_id


class AtOnce:
    """A pool without processes."""

    def submit(self, function, *arguments):
        return Done(function(*arguments))


class Done:
    def __init__(self, value):
        self.value = value

    def result(self):
        return self.value


class Run:
    recipe, step, tokens, seconds = Recipe(), 7, 70, 1.0


@pytest.mark.parametrize(("gain", "kept"), [(0.05, True), (-0.05, False), (0.0, False)])
def test_the_new_base_is_kept_only_where_the_interval_says_that_it_is_better(tmp_path, capsys, gain, kept):
    dice = np.random.default_rng(1)
    shipped = np.stack([dice.uniform(5, 20, 200), np.full(200, 10.0)], axis=1)
    now = shipped - np.stack([gain * 10 + dice.normal(0, 0.3, 200), np.zeros(200)], axis=1)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    given = Setting(True, tmp_path, 0.0, tmp_path / "kept")
    base.report(given, Run(), shipped, now)
    assert (tmp_path / "kept" / "config.json").is_file() == kept
    assert f'"better": {str(kept).lower()}' in capsys.readouterr().out


def test_its_rounds_follow_one_another_and_leave_the_users_turn_visible():
    recipe = replace(base.recipe_of(quick=True), documents=16)  # four steps a round
    steps = list(islice(base.batches(AtOnce(), recipe, 1), 8))
    rounds = [step for number in range(2) for step in base.of_round(recipe, number)]
    for (ids, mask), (other, masked) in zip(steps, rounds, strict=True):
        assert torch.equal(ids, torch.from_numpy(other))
        assert torch.equal(mask, torch.from_numpy(masked))
    assert len({ids.numpy().tobytes() for ids, _ in steps}) == 8
    header = special_token_id(load_tokenizer(base.SHIPPED), START_HEADER_TOKEN)
    enveloped = torch.cat([mask[ids[:, 1] == header][:, :2] for ids, mask in steps])
    assert len(enveloped) > 8
    assert not enveloped.any()


def test_its_text_is_neither_held_out_nor_what_the_shipped_base_has_read():
    seeds = {42 * 1_000_003 + number for number in (-1, *range(200))}
    assert not seeds & {base.SEED * 1_000_003 + number for number in range(-1, 1000)}
    assert plain_text.documents(3, 42 * 1_000_003 - 1) != plain_text.documents(3, base.SEED * 1_000_003)


def test_a_cycle_that_begins_with_fresh_moments_is_warmed_up_and_ends_at_zero():
    recipe = replace(base.recipe_of(quick=False), fourth_steps=1000)
    factors = [learning_rate_factor(recipe, step) for step in range(1000)]
    assert factors[0] == pytest.approx(recipe.later_rate / recipe.warmup_steps)
    assert max(factors) == pytest.approx(recipe.later_rate * 0.9, abs=0.01)
    assert factors[-1] == pytest.approx(recipe.later_rate / 1000)
