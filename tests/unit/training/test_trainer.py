"""The training loop: what it learns, what it guards, what it writes, how it stops and continues."""

import csv
import dataclasses
import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters import load_adapter
from adapters.base import load_base
from adapters.config import ModelConfig
from common.errors import InputError
from tests.support.imports import LONG
from tests.support.small_world import small_plan
from training import trainer
from training.batching import read_rows
from training.config import TrainConfig
from training.global_batch import loss_denominator, step_noise
from training.memory.dry_run import dry_run
from training.memory.estimate import Machine
from training.optimizer import schedule
from training.run import processes
from training.run.guards import check_finite, check_validation, explain_out_of_memory
from training.trainer import train
from training.validation import Validation


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Matrices this small are slower on two."""
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))


def curve(plan):
    with (plan.output / "curve.csv").open() as stream:
        return list(csv.DictReader(stream))


def losses(plan):
    return np.array([float(row["train_loss"]) for row in curve(plan)[1:]])


def weights(plan):
    return (plan.output / "adapter_model.safetensors").read_bytes()


def test_schedule_warms_up_linearly_then_falls_as_a_cosine():
    config = TrainConfig(warmup_fraction=0.1)
    factors = [schedule(step, 100, config) for step in range(100)]
    assert np.allclose(factors[:10], np.arange(1, 11) / 11)
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[99] < 0.001
    constant = TrainConfig(warmup_fraction=0.1, schedule="constant")
    assert {schedule(step, 100, constant) for step in range(10, 100)} == {1.0}


@pytest.mark.parametrize("method", ["lora", "pissa"])
def test_training_lowers_the_validation_bound(tmp_path, method):
    settings = {"epochs": 4.0, "validate_every": 50, "validation_draws": 32}  # few draws are all noise
    plan = small_plan(tmp_path, method, rows=200, train=settings)
    train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["validation"]["last"]["loss"] < run["validation"]["first"]["loss"] - 0.2
    assert run["validation"]["best"]["loss"] <= run["validation"]["last"]["loss"]


def test_validation_at_step_0_is_the_bases_for_every_method(tmp_path):
    first = []
    for method in ("lora", "loraplus", "pissa", "dora", "corda", "hira"):
        plan = small_plan(tmp_path, method, run=method, train={"max_steps": 1})
        train(plan)
        first.append(float(curve(plan)[0]["validation_loss"]))
    assert np.allclose(first, first[0], atol=1e-5)


def test_outputs_and_facts_of_a_run(tmp_path):
    plan = small_plan(tmp_path, "loraplus")
    train(plan)
    names = {path.name for path in plan.output.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "run.json", "curve.csv", "README.md", "last"}
    run = json.loads((plan.output / "run.json").read_text())
    rows = read_rows(plan.formatted / "train.parquet")
    assert run["tokens_seen"] == 2 * int((rows.lengths + 2).sum())  # two epochs with an EOS tail of two
    assert (run["steps"], run["planned_steps"], run["epochs"]) == (10, 10, 2.0)
    assert run["adapted_modules"] == 14
    assert [int(row["step"]) for row in curve(plan)] == list(range(11))
    assert [row["validation_loss"] != "" for row in curve(plan)] == [i % 5 == 0 for i in range(11)]
    assert not list(plan.scratch.glob("training/*/step-*"))  # nothing left that a next run could resume
    load_adapter(load_base(ModelConfig(), plan.base), plan.output / "last")


def test_accumulation_does_not_change_the_losses(tmp_path):
    """One forward pass of 8 rows and four of 2, for every normaliser."""
    for normalizer in ("answer_length", "batch_tokens", "masked_count"):
        runs = []
        for size in (8, 2):
            settings = {"micro_batch_size": size, "normalizer": normalizer}
            plan = small_plan(tmp_path, run=f"{normalizer}{size}", train=settings)
            train(plan)
            runs.append(losses(plan))
        assert np.allclose(*runs, atol=1e-5), normalizer


def test_denominators_are_those_of_the_loss():
    noise = step_noise(1, 2, 3, stratified=True)
    answers = np.array([4, 5, 6])
    assert loss_denominator("answer_length", None, noise, answers) == 3
    assert loss_denominator("batch_tokens", None, noise, answers) == 15


def test_noise_levels_of_a_global_batch_are_stratified_and_shuffled():
    levels = step_noise(3, 4, 16, stratified=True).levels.sort().values
    strata = ((levels - 1e-3) / (1 - 1e-3) * 16).floor()
    assert strata.tolist() == list(range(16))  # one level in each
    assert not torch.equal(step_noise(3, 4, 16, True).levels, levels)
    assert not torch.equal(step_noise(3, 4, 16, True).levels, step_noise(3, 5, 16, True).levels)


def test_dropout_is_a_function_of_seed_and_step(tmp_path):
    results = []
    for run in "ab":
        torch.manual_seed(ord(run))
        plan = small_plan(tmp_path, run=run, config={"dropout": 0.2})
        train(plan)
        results.append(weights(plan))
    assert results[0] == results[1]


def status_when_stopped(monkeypatch, plan, number):
    """Train, send this process a signal during the fifth optimizer step, and return the exit status."""
    original = trainer.Trainer.optimizer_step

    def stepping(instance):
        if instance.step == 4:
            os.kill(os.getpid(), number)
        return original(instance)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "optimizer_step", stepping)
        with pytest.raises(SystemExit) as stop:
            train(plan)
    return stop.value.code


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("method", ["loraplus", "pissa"])
def test_a_signal_saves_and_the_same_command_ends_as_if_it_had_not_come(tmp_path, monkeypatch, number, status, method):
    whole = small_plan(tmp_path, method, run="whole")
    train(whole)
    stopped = small_plan(tmp_path, method, run="stopped")
    assert status_when_stopped(monkeypatch, stopped, number) == status
    assert [path.name for path in stopped.scratch.glob("training/*/step-*") if path.name > "step-00000004"]
    assert not stopped.output.exists()
    train(stopped)
    assert weights(stopped) == weights(whole)
    assert [row["train_loss"] for row in curve(stopped)] == [row["train_loss"] for row in curve(whole)]


@pytest.mark.parametrize(
    "settings",
    [
        {"masks": "complementary", "levels": "importance"},
        {"objective": "block", "block_length": 4, "normalizer": "batch_tokens"},
        {"objective": "sequence", "masks": "complementary"},
    ],
    ids=["pairs", "block", "sequence"],
)
def test_every_objective_resumes_exactly(tmp_path, monkeypatch, settings):
    """The levels after a validation are drawn by what it measured, so that has to be in the checkpoint too."""
    whole = small_plan(tmp_path, run="whole", train=settings)
    train(whole)
    stopped = small_plan(tmp_path, run="stopped", train=settings)
    status_when_stopped(monkeypatch, stopped, signal.SIGTERM)
    train(stopped)
    assert weights(stopped) == weights(whole)


def test_pairs_see_half_as_many_rows_in_a_step(tmp_path):
    plan = small_plan(tmp_path, train={"masks": "complementary"})
    assert (plan.steps_per_epoch, small_plan(tmp_path).steps_per_epoch) == (10, 5)
    train(plan)
    assert len(curve(plan)) == 21


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit"])
def test_8_bit_optimizers_resume_exactly(tmp_path, monkeypatch, optimizer):
    settings = {"optimizer": optimizer}
    whole = small_plan(tmp_path, run="whole", train=settings, config={"rank": 48})  # large enough for 8 bits
    train(whole)
    stopped = small_plan(tmp_path, run="stopped", train=settings, config={"rank": 48})
    status_when_stopped(monkeypatch, stopped, signal.SIGTERM)
    train(stopped)
    assert weights(stopped) == weights(whole)


def test_a_changed_setting_never_continues_an_old_run(tmp_path, monkeypatch):
    first = small_plan(tmp_path)
    status_when_stopped(monkeypatch, first, signal.SIGTERM)
    changed = small_plan(tmp_path, train={"learning_rate": 2e-2})
    elsewhere = small_plan(tmp_path, run="elsewhere", train={"learning_rate": 2e-2})
    train(changed)
    train(elsewhere)
    assert weights(changed) == weights(elsewhere)
    assert len(list(first.scratch.glob("training/lora-*"))) == 2


@pytest.mark.parametrize("change", ["seed", "base_sha256", "data", "rank"])
def test_fingerprint_changes_with_what_the_result_depends_on(tmp_path, change):
    plan = small_plan(tmp_path)
    changed = {
        "data": {"formatted": small_plan(tmp_path, rows=41).formatted},
        "rank": {"config": plan.config.model_copy(update={"rank": 5})},
        "seed": {"seed": 8},
        "base_sha256": {"base_sha256": "another"},
    }
    assert replace(plan, **changed[change]).run_folder != plan.run_folder


def test_fingerprint_ignores_how_often_is_saved(tmp_path):
    plan = small_plan(tmp_path)
    often = replace(plan, train=plan.train.model_copy(update={"checkpoint_every": 99}))
    assert often.run_folder == plan.run_folder


def test_a_finished_run_is_trained_again_not_resumed(tmp_path, capsys):
    plan = small_plan(tmp_path)
    train(plan)
    first = weights(plan)
    train(plan)
    assert weights(plan) == first
    assert "resuming" not in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_with_step_rows_and_settings(tmp_path):
    plan = small_plan(tmp_path, train={"schedule": "constant"})
    beyond_the_schema = plan.train.model_copy(update={"learning_rate": 1e30})
    plan = dataclasses.replace(plan, train=beyond_the_schema)
    with pytest.raises(InputError, match=r"at step \d+ on rows row-\d+.*learning_rate=1e\+30") as fault:
        train(plan)
    assert "lower the learning rate" in str(fault.value)


def test_a_gradient_that_is_not_finite_is_named():
    with pytest.raises(InputError, match="gradient is inf at step 4 on rows a, b "):
        check_finite(1.0, math.inf, 3, ["a", "b"], {"learning_rate": 1.0})


def spoil_the_base(plan):
    path = plan.base / "model.safetensors"
    tensors = load_file(path)
    tensors["model.transformer.ln_f.weight"][0] = math.nan
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_base_that_gives_nan_is_named_before_the_first_step(tmp_path):
    plan = small_plan(tmp_path)
    spoil_the_base(plan)
    with pytest.raises(
        InputError, match=r"base gives nan or infinity on validation row row-0 and 11 more before"
    ) as it:
        train(plan)
    assert "learning rate" not in str(it.value)


def test_a_validation_that_is_not_finite_later_blames_the_training():
    settings = {"dtype": "float16", "quantization": "none", "learning_rate": 9.0}
    bad = Validation(math.nan, 0.0, 0.0, [], not_finite=(1,))
    with pytest.raises(InputError, match=r"validation row b after step 5 .*learning_rate=9.0.*lower the learning rate"):
        check_validation(bad, ["a", "b"], 5, settings)
    with pytest.raises(
        InputError, match=r"before training \(model.dtype=float16.*take model.dtype bfloat16 or float32"
    ):
        check_validation(bad, ["a", "b"], 0, settings)


def test_a_run_that_never_improves_says_so_everywhere(tmp_path, capsys):
    plan = small_plan(tmp_path, train={"learning_rate": 10.0, "schedule": "constant"})
    train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["validation"]["best"]["step"] == 0
    words = "No validation was better than the one before training: best step 0 of 10, the adapter changes nothing."
    assert words in " ".join(capsys.readouterr().err.split())
    card = " ".join((plan.output / "README.md").read_text().split())
    assert words in card
    assert "(best step 0 of 10)" in card


def test_the_bases_resolved_revision_is_named(tmp_path):
    plan = replace(small_plan(tmp_path, model={"base": "org/base"}), base_revision="0a1b2c")
    train(plan)
    assert json.loads((plan.output / "run.json").read_text())["base"]["revision"] == "0a1b2c"
    assert "on the original base of org/base at revision 0a1b2c" in (plan.output / "README.md").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"config": {"alpha": 1e300}}, "methods.lora.alpha: 1e.300 over rank 4 is no number that float32 holds"),
        ({"config": {"alpha": 1e-300}}, "methods.lora.alpha"),
        ({"config": {"rank": 10**200, "alpha": 1.0}}, "methods.lora.alpha"),
        ({"train": {"learning_rate": 1e300}}, "methods.lora.learning_rate: 1e.300"),
        ({"train": {"epochs": math.inf}}, "train.epochs: inf; must be finite"),
        ({"train": {"max_gradient_norm": math.inf}}, "train.max_gradient_norm: inf; must be finite"),
        ({"config": {"ratio": math.nan}}, "methods.lora.ratio: nan"),
        ({"train": {"epochs": 1e30}}, "train.epochs: 1e.30 makes more than 99,999,999 optimizer steps"),
    ],
)
def test_numbers_that_nothing_computes_with_are_refused(tmp_path, settings, words):
    try:
        plan = small_plan(tmp_path, **settings)
    except ValueError:
        return  # the section refuses them
    with pytest.raises(InputError, match=words) as fault:
        train(plan)
    assert all(len(line) < 300 for line in fault.value.faults)


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**5000, -1], ids=["2^63", "2^64", "10^5000", "-1"])
def test_seeds_beyond_63_bits_are_refused(tmp_path, seed):
    with pytest.raises(InputError, match=r"^seed: .{1,40}; must be from 0"):
        train(replace(small_plan(tmp_path), seed=seed))


def test_the_largest_seed_trains(tmp_path):
    train(replace(small_plan(tmp_path, train={"max_steps": 1}), seed=2**63 - 1))


def test_memory_is_checked_before_training_too(tmp_path, monkeypatch, capsys):
    plan = small_plan(tmp_path, train={"max_steps": 1})
    monkeypatch.setattr("training.memory.estimate.this_machine", lambda: Machine(True, 1e8, "a small card"))
    with pytest.raises(InputError, match=r"0.1 GiB are free on a small card.*--ignore-memory starts it all the same"):
        train(plan)
    train(plan, fits=True)
    monkeypatch.setattr("training.memory.estimate.this_machine", lambda: Machine(False, 1e8, "CPU"))
    train(plan)
    assert "GiB are free on CPU" in " ".join(capsys.readouterr().err.split())


def test_out_of_memory_names_the_knobs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 70 * 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 80 * 2**30))
    config = TrainConfig(micro_batch_size=8)
    with (
        pytest.raises(InputError, match=r"(?s)micro_batch_size: 4.*activation_checkpointing: true.*nf4.*paged"),
        explain_out_of_memory(config, checkpointing=False, quantization="none"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_early_stopping_ends_after_validations_without_a_better_one(tmp_path):
    settings = {"learning_rate": 3.0, "schedule": "constant", "epochs": 40.0, "validate_every": 2, "early_stopping": 2}
    plan = small_plan(tmp_path, train=settings)
    train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["steps"] < run["planned_steps"]
    assert run["steps"] == run["validation"]["best"]["step"] + 4


def test_best_and_last_adapter_are_kept_apart(tmp_path):
    settings = {"learning_rate": 3.0, "schedule": "constant", "validate_every": 2}
    plan = small_plan(tmp_path, train=settings)
    train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["validation"]["best"]["step"] < 10
    assert weights(plan) != (plan.output / "last" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "model",
    [
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"quantization": "nf4"},
        {"quantization": "int8"},
        {"dtype": "bfloat16", "quantization": "nf4", "activation_checkpointing": True},
    ][None if LONG else 3 :],
)
def test_pissa_trains_on_every_kind_of_base(tmp_path, model):
    settings = {"epochs": 2.0, "validate_every": 50, "validation_draws": 32}
    plan = small_plan(tmp_path, "pissa", rows=200, model=model, train=settings)
    train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["validation"]["best"]["loss"] < run["validation"]["first"]["loss"] - 0.05


@pytest.mark.filterwarnings("error:.*checkpointing_enable")
def test_activation_checkpointing_changes_nothing_but_memory(tmp_path):
    runs = []
    for value in (False, True):
        plan = small_plan(tmp_path, run=str(value), model={"activation_checkpointing": value})
        train(plan)
        runs.append(losses(plan))
    assert np.allclose(*runs, atol=1e-6)


def test_a_missing_split_says_which_command_makes_it(tmp_path):
    plan = replace(small_plan(tmp_path), formatted=tmp_path / "nowhere")
    with pytest.raises(InputError, match="python -m pipeline format"):
        train(plan)


def test_a_tracker_that_is_not_installed_is_named(tmp_path):
    plan = small_plan(tmp_path, train={"trackers": ("mlflow",)})
    with pytest.raises(InputError, match=r"train.trackers: mlflow is not installed"):
        train(plan)


def test_dry_run_counts_without_training(tmp_path, capsys):
    plan = small_plan(tmp_path, "pissa")
    dry_run(plan)
    said = capsys.readouterr().out
    assert "8,704 of" in said  # 2 blocks x 4 x (4 (64+64) + 2 (64+128) + (128+64))
    assert "14" in said
    assert not plan.output.exists()
    assert not plan.scratch.exists()


def test_dry_run_refuses_what_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("training.memory.estimate.this_machine", lambda: Machine(False, 1e8, "a small card"))
    with pytest.raises(InputError, match=r"0.1 GiB are free on a small card; even with .*micro_batch_size=1"):
        dry_run(small_plan(tmp_path))
