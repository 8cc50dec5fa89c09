"""float16's loss scale: found while training, lowered where a gradient overflows, part of what a checkpoint holds."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from common.errors import InputError
from tests.support.small_world import small_plan
from training import loss_scale, trainer
from training.loss_scale import LossScale
from training.run import processes
from training.trainer import train

HALF = {"dtype": "float16"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))


def losses(plan):
    with (plan.output / "curve.csv").open() as stream:
        return np.array([float(row["train_loss"]) for row in list(csv.DictReader(stream))[1:]])


def scale_of(plan):
    return json.loads((plan.output / "run.json").read_text())["loss_scale"]


def test_the_scale_halves_at_an_overflow_and_doubles_after_an_interval(monkeypatch):
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    scale = LossScale(8.0)
    assert scale.lower()
    assert scale == LossScale(4.0, 0, 1)
    for _ in range(3):
        scale.step_taken()
    assert scale == LossScale(8.0, 0, 1)


def test_there_is_a_smallest_and_a_largest_scale(monkeypatch):
    monkeypatch.setattr(loss_scale, "INTERVAL", 1)
    scale = LossScale(2.0)
    assert [scale.lower(), scale.lower()] == [True, False]
    scale.step_taken()
    assert scale.value == 1.0
    scale = LossScale(loss_scale.LARGEST)
    scale.step_taken()
    assert scale.value == loss_scale.LARGEST


def test_a_gradient_that_overflows_is_computed_again_with_a_smaller_scale(tmp_path, monkeypatch):
    modest, bold = (small_plan(tmp_path, run=name, train={"max_steps": 4}, model=HALF) for name in ("modest", "bold"))
    monkeypatch.setattr(loss_scale, "START", 2.0**10)
    train(modest)
    monkeypatch.setattr(loss_scale, "START", 2.0**30)
    train(bold)
    assert scale_of(modest)["repeated"] == 0
    repeated = scale_of(bold)["repeated"]
    assert repeated > 3
    assert scale_of(bold)["value"] == 2.0 ** (30 - repeated)
    assert np.allclose(losses(modest), losses(bold), rtol=2e-3)  # no step was left out


def test_the_scale_survives_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    monkeypatch.setattr(loss_scale, "START", 2.0**8)
    settings = {"max_steps": 8, "checkpoint_every": 1}
    whole, stopped = (small_plan(tmp_path, run=name, train=settings, model=HALF) for name in ("whole", "stopped"))
    train(whole)
    step = trainer.Trainer.optimizer_step
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "optimizer_step", lambda self: step(self) if self.step < 5 else self._stop(15))
        with pytest.raises(SystemExit):
            train(stopped)
    train(stopped)
    assert scale_of(whole) == {"value": loss_scale.START * 4, "steps": 2, "repeated": 0} == scale_of(stopped)
    assert losses(whole).tolist() == losses(stopped).tolist()


def test_a_loss_that_is_not_finite_still_stops(tmp_path):
    plan = small_plan(tmp_path, model=HALF, train={"schedule": "constant"})
    plan = dataclasses.replace(plan, train=plan.train.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(InputError, match=r"at step \d+ on rows row-\d+"):
        train(plan)


def test_other_types_are_not_scaled(tmp_path):
    plan = small_plan(tmp_path, train={"max_steps": 1})
    train(plan)
    assert scale_of(plan) == {"value": 1.0, "steps": 0, "repeated": 0}
