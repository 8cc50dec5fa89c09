"""Unfinished runs: a change that does not matter continues one, any other is named and leaves it where it is."""

import json
import os
import shutil
import signal

import pytest

from tests.support.imports import LONG
from tests.support.small_world import small_plan
from training import trainer
from training.plan import is_finished
from training.run.unfinished import differences
from training.trainer import train


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Matrices this small are slower on two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def stop_during_step(monkeypatch, plan, number):
    original = trainer.Trainer.optimizer_step

    def stepping(instance):
        if instance.step == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(instance)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "optimizer_step", stepping)
        with pytest.raises(SystemExit):
            train(plan)


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def weights(plan):
    return (plan.output / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"train": {"micro_batch_size": 2}},
        {"train": {"log_every": 3, "validate_every": 4, "checkpoint_every": 9, "keep_checkpoints": 1}},
        {"model": {"activation_checkpointing": True}},
    ],
)
def test_a_change_that_changes_no_result_continues_the_run(tmp_path, change):
    assert small_plan(tmp_path, **change).run_folder == small_plan(tmp_path).run_folder


@pytest.mark.parametrize(
    "method", ["olora", "eva", "corda", "lora_ga", "miss", "gralora", "hira"] if LONG else ["corda", "hira"]
)
def test_a_stopped_run_ends_with_the_bytes_of_a_whole_one(tmp_path, monkeypatch, method):
    """Even where the factors of the start are gone and are computed again."""
    settings = {"max_steps": 6, "checkpoint_every": 2, "validate_every": 6}
    whole = small_plan(tmp_path, method, run="whole", train=settings)
    train(whole)
    stopped = small_plan(tmp_path, method, run="stopped", train=settings)
    stop_during_step(monkeypatch, stopped, 3)
    shutil.rmtree(stopped.scratch / "starts", ignore_errors=True)
    train(stopped)
    assert weights(stopped) == weights(whole)


def test_dropout_is_drawn_by_micro_batch_so_there_it_counts(tmp_path):
    plans = [small_plan(tmp_path, config={"dropout": 0.1}, train={"micro_batch_size": size}) for size in (2, 4)]
    assert plans[0].run_folder != plans[1].run_folder


def test_a_run_that_ran_out_of_memory_goes_on_with_the_settings_that_the_message_advises(tmp_path, monkeypatch, capsys):
    whole = small_plan(tmp_path, run="whole")
    train(whole)
    stop_during_step(monkeypatch, small_plan(tmp_path), 4)
    frugal = small_plan(tmp_path, train={"micro_batch_size": 1}, model={"activation_checkpointing": True})
    train(frugal)
    assert "resuming after step 5 of 10" in said(capsys)
    ends = [
        json.loads((plan.output / "run.json").read_text())["validation"]["last"]["loss"] for plan in (whole, frugal)
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


def test_another_setting_starts_anew_and_names_what_differs_and_what_is_left(tmp_path, monkeypatch, capsys):
    first = small_plan(tmp_path)
    stop_during_step(monkeypatch, first, 4)
    capsys.readouterr()
    train(small_plan(tmp_path, train={"learning_rate": 2e-2}, config={"rank": 5}))
    line = said(capsys)
    assert "a run that stopped after step 5 cannot be continued" in line
    assert "settings.train.learning_rate 0.01 there, 0.02 now" in line
    assert "settings.method.rank 4 there, 5 now" in line
    assert "--fresh removes it" in line
    assert list(first.run_folder.glob("step-*"))


def test_fresh_removes_what_unfinished_runs_left(tmp_path, monkeypatch, capsys):
    changed, first = small_plan(tmp_path, train={"learning_rate": 2e-2}), small_plan(tmp_path)
    for plan in (changed, first):
        stop_during_step(monkeypatch, plan, 4)
    capsys.readouterr()
    whole = small_plan(tmp_path, run="whole")
    train(whole)
    train(first, fresh=True)
    assert not changed.run_folder.exists()
    assert "resuming" not in said(capsys)
    assert weights(first) == weights(whole)


def test_runs_of_another_adapter_are_nobodys_business(tmp_path, monkeypatch, capsys):
    plan = small_plan(tmp_path)
    stop_during_step(monkeypatch, plan, 4)
    other = small_plan(tmp_path, train={"learning_rate": 2e-2})
    object.__setattr__(other, "output", tmp_path / "sweep" / "adapter")
    capsys.readouterr()
    train(other, fresh=True)
    assert "starting anew" not in said(capsys)
    assert list(plan.run_folder.glob("step-*"))


def test_hashes_are_named_and_not_shown():
    assert list(differences({"code": "0" * 64, "seed": 1}, {"code": "1" * 64, "seed": 2})) == [
        "code differs",
        "seed 1 there, 2 now",
    ]


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"method": "lora"}', '{"method": "lora", "settings": []}'])
def test_a_run_json_of_another_shape_is_no_finished_run(tmp_path, content):
    plan = small_plan(tmp_path)
    plan.output.mkdir(parents=True)
    (plan.output / "run.json").write_text(content)
    assert not is_finished(plan)


@pytest.mark.parametrize("content", ["[]", "null", '{"output": 3}', "{"])
def test_notes_of_another_shape_beside_a_run_are_passed_over(tmp_path, content):
    plan = small_plan(tmp_path, train={"max_steps": 1})
    stranger = plan.run_folder.parent / "lora-0"
    stranger.mkdir(parents=True)
    (stranger / "settings.json").write_text(content)
    train(plan, fresh=True)
    assert stranger.exists()


def test_a_checkpoint_of_another_shape_is_one_sentence(tmp_path, monkeypatch):
    plan = small_plan(tmp_path)
    stop_during_step(monkeypatch, plan, 4)
    from training.run.checkpoint import load_newest_checkpoint, save_checkpoint

    checkpoint = load_newest_checkpoint(plan.run_folder)
    checkpoint.progress = {"colour": "red"}
    save_checkpoint(plan.run_folder, checkpoint, keep=1)
    with pytest.raises(trainer.InputError, match=r"of another shape \(.*colour.*\); --fresh starts anew"):
        train(plan)
