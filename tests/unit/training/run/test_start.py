"""`train.init_from`: training goes on from an adapter, or says in one line why it cannot."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import InputError
from tests.support.small_world import small_plan
from training.trainer import train


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Matrices this small are slower on two."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def outcome(plan):
    return json.loads((plan.output / "run.json").read_text())


def trained(tmp_path, method="lora", run="first", **settings):
    plan = small_plan(tmp_path, method, run=run, **settings)
    train(plan)
    return plan


def going_on(plan, tmp_path, method="lora", folder=None, **settings):
    return replace(small_plan(tmp_path, method, run="second", **settings), init_from=folder or plan.output)


@pytest.mark.parametrize("method", ["loraplus", "dora", "rslora"])
def test_training_begins_where_the_adapter_ended(tmp_path, method):
    first = trained(tmp_path, method)
    second = going_on(first, tmp_path, method)
    train(second)
    assert outcome(second)["validation"]["first"]["loss"] == pytest.approx(
        outcome(first)["validation"]["best"]["loss"], abs=1e-6
    )
    assert outcome(second)["init_from"]["path"] == str(first.output)


def test_a_pissa_adapter_goes_on_as_lora_of_twice_the_rank(tmp_path):
    first = trained(tmp_path, "pissa", config={"alpha": 8})
    with pytest.raises(InputError, match=r"--method lora and --set methods.lora.rank=8 --set methods.lora.alpha=16$"):
        train(going_on(first, tmp_path, "pissa", config={"alpha": 8}))
    second = going_on(first, tmp_path, "lora", config={"rank": 8, "alpha": 16})
    train(second)
    assert outcome(second)["validation"]["first"]["loss"] == pytest.approx(
        outcome(first)["validation"]["best"]["loss"], abs=1e-5
    )


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("hira", {"config": {"alpha": 8}}, r"methods.hira.alpha: 8.0; HiRA has no such factor, leave it out"),
        ("miss", {"config": {"alpha": 8}}, r"methods.miss.alpha: 8.0; MiSS has no such factor"),
        ("gralora", {"config": {"rank": 5}}, r"methods.gralora.rank: 5 is no multiple of methods.gralora.blocks: 2"),
        ("gralora", {"model": {"quantization": "int8"}}, r"no gradient on an int8 base, take nf4 or none"),
        ("corda", {"model": {"quantization": "nf4"}}, r"CorDA starts from passes over the whole base unquantised"),
        ("lora_ga", {"model": {"quantization": "int8"}}, r"LoRA-GA starts from passes over the whole base unquantised"),
        ("olora", {"config": {"rank": 65}}, r"OLoRA of rank 65 takes at most 64 here"),
    ],
)
def test_settings_that_a_method_cannot_use_are_refused(tmp_path, method, settings, words):
    with pytest.raises(InputError, match=words):
        train(small_plan(tmp_path, method, **settings))


@pytest.mark.parametrize(("method", "rank"), [("miss", 4), ("gralora", 8)])
def test_what_is_saved_as_lora_goes_on_as_lora(tmp_path, method, rank):
    first = trained(tmp_path, method)
    with pytest.raises(InputError, match=f"{method} cannot start from an adapter; continue one with --method lora"):
        train(going_on(first, tmp_path, method))
    assert outcome(first)["saved_rank"] == rank
    second = going_on(first, tmp_path, "lora", config={"rank": rank})
    train(second)
    assert outcome(second)["validation"]["first"]["loss"] == pytest.approx(
        outcome(first)["validation"]["best"]["loss"], abs=1e-5
    )


def test_a_hira_adapter_does_not_go_on_as_lora(tmp_path):
    first = trained(tmp_path, "hira", train={"max_steps": 1})
    assert "peft's HiRA (which is no LoRA)" in (first.output / "README.md").read_text()
    with pytest.raises(InputError, match=r"is of another method than methods\.lora"):
        train(going_on(first, tmp_path, "lora"))


def test_what_does_not_fit_is_refused_with_the_settings_that_do(tmp_path):
    first = trained(tmp_path, train={"max_steps": 1})
    for config, words in (
        ({"rank": 8}, r"of rank 4 and not 8; set methods.lora.rank=4 and methods.lora.alpha=4$"),
        ({"alpha": 8}, r"scaled by 1 and not 2; set methods.lora.rank=4 and methods.lora.alpha=4$"),
        ({"targets": ("q_proj",)}, r"adapts other layers"),
    ):
        with pytest.raises(InputError, match=words):
            train(going_on(first, tmp_path, config=config))
    with pytest.raises(InputError, match=r"of another method than methods.dora"):
        train(going_on(first, tmp_path, "dora"))
    with pytest.raises(InputError, match=r"was trained on another base \(sha256 base instead of other\)"):
        train(replace(going_on(first, tmp_path), base_sha256="other"))
    with pytest.raises(InputError, match=r"adapter_config.json: no such file"):
        train(going_on(first, tmp_path, folder=tmp_path))
    (first.output / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run.json: not what a training writes"):
        train(going_on(first, tmp_path))


def test_an_adapter_with_nan_is_refused(tmp_path):
    first = trained(tmp_path, train={"max_steps": 1})
    path = first.output / "adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = torch.nan
    save_file(tensors, path)
    with pytest.raises(InputError, match="does not hold finite"):
        train(going_on(first, tmp_path))


def test_another_adapter_to_start_from_is_another_run(tmp_path):
    first = trained(tmp_path, train={"max_steps": 1})
    plan = going_on(first, tmp_path)
    folders = {plan.run_folder, replace(plan, init_from=None).run_folder}
    train(replace(first, seed=8))
    folders.add(going_on(first, tmp_path).run_folder)
    assert len(folders) == 3
