"""The autoregressive twin trains as the diffusion model does: the same batches, budget, resumption and outputs."""

import csv
import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from adapters.base import load_base
from adapters.config import ModelConfig
from adapters.storage import load_adapter
from adapters.update import add_adapter
from causal.likelihood import exact_log_likelihoods
from tests.support.small_world import small_plan
from training import trainer
from training.batching import read_rows
from training.run import processes


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))


def curve(plan):
    with (plan.output / "curve.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", ["ar-loraplus", "ar-pissa"])
def test_a_twin_learns_and_its_adapter_is_plain_lora_on_the_original(tmp_path, method):
    plan = small_plan(tmp_path, method, train={"epochs": 4.0, "learning_rate": 2e-2, "validate_every": 20})
    trainer.train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    assert run["validation"]["best"]["loss"] < run["validation"]["first"]["loss"] - 0.02
    assert (run["adapted_modules"], run["base"]["model_type"]) == (14, "llama")
    assert run["tokens_seen"] == 4 * int(read_rows(plan.formatted / "train.parquet").lengths.sum())
    assert "masked" not in (plan.output / "README.md").read_text()

    # the validation is the exact likelihood of the saved adapter, however it is put on the base
    rows = plan.validation_rows
    prompts = [row[:start].tolist() for row, start in zip(rows.tokens, rows.prompt_lengths, strict=True)]
    answers = [row[start:].tolist() for row, start in zip(rows.tokens, rows.prompt_lengths, strict=True)]
    merged = load_base(ModelConfig(), plan.base, causal=True)
    add_adapter(merged, plan.output)
    ours = load_adapter(load_base(ModelConfig(), plan.base, causal=True), plan.output)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(plan.base), str(plan.output))
    for network in (merged, ours, theirs):
        found = exact_log_likelihoods(network, prompts, answers)
        per_token = [-one.estimate / len(answer) for one, answer in zip(found, answers, strict=True)]
        assert np.mean(per_token) == pytest.approx(run["validation"]["best"]["loss"], abs=1e-4)


def test_both_paradigms_see_the_same_rows_in_the_same_steps(tmp_path):
    settings = {"eos_tail": "none", "validate_every": 99, "max_steps": 4}
    plans = [small_plan(tmp_path, name, run=name, train=settings) for name in ("lora", "ar-lora")]
    for plan in plans:
        trainer.train(plan)
    one, other = ([row["tokens"] for row in curve(plan)] for plan in plans)
    assert one == other
    assert plans[0].total_steps == plans[1].total_steps


def test_accumulation_does_not_change_the_losses(tmp_path):
    settings = {"normalizer": "batch_tokens", "objective": "sequence", "max_steps": 3}
    runs = []
    for size in (8, 3):
        plan = small_plan(tmp_path, "ar-lora", run=f"{size}", train={"micro_batch_size": size} | settings)
        trainer.train(plan)
        runs.append([float(row["train_loss"]) for row in curve(plan)[1:]])
    assert np.allclose(*runs, atol=1e-5)


def test_a_run_that_was_stopped_ends_with_the_same_bytes(tmp_path, monkeypatch):
    whole = small_plan(tmp_path, "ar-pissa", run="whole")
    trainer.train(whole)
    stopped = small_plan(tmp_path, "ar-pissa", run="stopped")
    step = trainer.Trainer.optimizer_step

    def dying(self):
        if self.step == 7:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "optimizer_step", dying)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(stopped)
    monkeypatch.setattr(trainer.Trainer, "optimizer_step", step)
    trainer.train(stopped)
    for name in ("adapter_model.safetensors", "curve.csv"):
        assert (whole.output / name).read_bytes() == (stopped.output / name).read_bytes()


def test_activation_checkpointing_changes_nothing_but_memory(tmp_path):
    weights = []
    for recomputed in (False, True):
        model = {"activation_checkpointing": recomputed}
        plan = small_plan(tmp_path, "ar-lora", run=str(recomputed), model=model, train={"max_steps": 2})
        trainer.train(plan)
        weights.append((plan.output / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_twin_in_four_bits_trains(tmp_path):
    plan = small_plan(tmp_path, "ar-pissa", model={"quantization": "nf4"}, train={"max_steps": 2})
    trainer.train(plan)
    run = json.loads((plan.output / "run.json").read_text())
    network = load_adapter(load_base(plan.model, plan.base, causal=True), plan.output)
    rows = plan.validation_rows
    starts = rows.prompt_lengths
    prompts = [row[:start].tolist() for row, start in zip(rows.tokens, starts, strict=True)]
    answers = [row[start:].tolist() for row, start in zip(rows.tokens, starts, strict=True)]
    found = exact_log_likelihoods(network, prompts, answers)
    per_token = [-one.estimate / len(answer) for one, answer in zip(found, answers, strict=True)]
    assert np.mean(per_token) == pytest.approx(run["validation"]["best"]["loss"], abs=2e-3)
