"""What a training runs on is said at its start; a large base never trains on a CPU by accident."""

import pytest
import torch

from common.errors import InputError
from llada import LLaDAConfig
from tests.support.small_world import small_plan
from training.run.device import check_device, emulates_bfloat16, why_no_gpu
from training.trainer import train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def large(tmp_path):
    """A plan whose base is of LLaDA-8B's shape, of which there is nothing but its config.json."""
    plan = small_plan(tmp_path)
    LLaDAConfig().save_pretrained(plan.base)
    return plan


def pretend(monkeypatch, name, capability, bfloat16):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or bfloat16
    )


def told(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_eight_billion_weights_on_a_cpu_are_refused_before_anything_is_loaded(large):
    with pytest.raises(InputError, match=r"8\.0 billion weights and torch sees no GPU.*--cpu trains there") as refusal:
        train(large)
    assert len(str(refusal.value)) < 300


def test_they_train_there_where_the_user_asks_for_it(large, capsys):
    check_device(large, CPU, on_cpu=True)
    assert "lora: on the CPU" in told(capsys)


def test_a_small_base_needs_no_asking(tmp_path, capsys):
    train(small_plan(tmp_path, train={"max_steps": 1}))
    assert "lora: on the CPU, " in told(capsys)


def test_a_driver_too_old_for_torch_is_among_the_reasons(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "CUDA 13.0; `nvidia-smi` must show that version or a later one" in why_no_gpu()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "without CUDA" in why_no_gpu()


def test_emulated_bfloat16_is_named_with_the_setting_to_change(large, monkeypatch, capsys):
    plan = small_plan(large.base.parent, model={"dtype": "bfloat16"})
    pretend(monkeypatch, "Tesla T4", (7, 5), bfloat16=False)
    check_device(plan, CUDA, on_cpu=False)
    said = told(capsys)
    assert "lora: on Tesla T4 (compute capability 7.5)" in said
    assert "no bfloat16 and emulates it" in said
    assert "--set model.dtype=float16" in said
    pretend(monkeypatch, "L4", (8, 9), bfloat16=True)
    check_device(plan, CUDA, on_cpu=False)
    assert "emulates" not in told(capsys)


def test_a_cpu_emulates_nothing():
    assert not emulates_bfloat16(CPU)
