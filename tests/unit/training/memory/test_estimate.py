"""The memory estimate, against what autograd really keeps and against figures measured elsewhere."""

import gc
import itertools
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import profile

from adapters.attach import attach
from adapters.base import load_unquantised
from adapters.config import MethodConfig, ModelConfig
from adapters.forward import lean_forward_passes
from adapters.methods import METHODS
from common.errors import InputError
from llada import LLaDAConfig
from llada.network.configuration import ILLaDAConfig
from tests.support.imports import REPOSITORY
from tests.support.small_world import small_illada_config, small_model, small_plan, start_rows
from training.batching import Batch
from training.config import TrainConfig
from training.global_batch import MicroBatch
from training.memory.estimate import (
    GIB,
    Counts,
    Estimate,
    Machine,
    Workload,
    block_activation_bytes,
    check_fits,
    count,
    estimate,
    remedies,
    type_bytes,
    weight_norm_bytes,
)
from training.objective import Objective

B, L, D, F, LAYERS = 2, 128, 128, 384, 3
SHAPE = {"d_model": D, "n_heads": 4, "mlp_hidden_size": F, "n_layers": LAYERS, "max_sequence_length": L}
CARD = Machine(True, 80 * GIB, "a card of 80 GiB")
ALL = MethodConfig().targets


class Kept:
    """A tensor for as long as the graph keeps it: what the graph drops again on the way is not counted."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def kept_bytes(
    tmp_path: Path, model: ModelConfig, config: MethodConfig, name: str = "lora", kind: str = "llada", **shape: int
) -> float:
    """Bytes of the distinct storages, parameters aside, that autograd keeps after the forward pass of the loss."""
    small_model(**({"kind": kind} | SHAPE | {"n_kv_heads": 4} | shape)).save_pretrained(tmp_path / "base")
    base = load_unquantised(model, tmp_path / "base", "cpu")
    adapted = attach(base, METHODS[name], config, model, tmp_path, 0, rows=start_rows())
    lean_forward_passes(adapted.model)
    if model.activation_checkpointing:
        adapted.model.get_base_model().gradient_checkpointing_enable()
    objective = Objective(adapted.model.train(), "answer_length", getattr(torch, model.dtype))
    own = {parameter.untyped_storage().data_ptr() for parameter in adapted.model.parameters()}
    kept: weakref.WeakSet[Kept] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> Kept:
        held = Kept(tensor)
        kept.add(held)
        return held

    answers = torch.ones(B, L, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        rows = Batch(torch.randint(0, 50, (B, L)), None, answers)
        loss = objective(MicroBatch(rows, torch.ones(B), answers), float(B))
    tensors = [held.tensor for held in kept] + lows(loss.grad_fn)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    del loss  # held the graph until here
    return float(sum(size for pointer, size in storages.items() if pointer not in own))


def lows(node: Any) -> list[torch.Tensor]:
    """What the layers of `adapters.forward` keep by themselves, in the graph behind this node."""
    seen, waiting, found = {node}, [node], []
    while waiting:
        node = waiting.pop()
        found += [node.low] if hasattr(node, "low") else []
        behind = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= behind
        waiting += behind
    return found


def expected_bytes(model: ModelConfig, config: MethodConfig, name: str = "lora", shape: Any = None) -> float:
    """The estimate of the same: the blocks, the final norm's input, the head's hidden state and its gradient."""
    shape, method = shape or LLaDAConfig(**SHAPE), METHODS[name]
    workload = Workload(shape, count(shape, method, config), method, config, np.full(B, L), 0)
    return LAYERS * workload.block_bytes(model, L, B * L, cuda=False) + B * L * D * (4 + 2 * type_bytes(model))


@pytest.mark.parametrize("quantization", ["none", "int8", "nf4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("targets", [ALL, ("q_proj", "v_proj")])
@pytest.mark.parametrize("name", ["lora", "dora"])
def test_activations_are_what_autograd_keeps(tmp_path, name, dtype, quantization, targets):
    model, config = ModelConfig(dtype=dtype, quantization=quantization), MethodConfig(rank=8, targets=targets)
    kept = kept_bytes(tmp_path, model, config, name)
    assert kept == pytest.approx(expected_bytes(model, config, name), rel=0.05)


FORMS = ("miss", "gralora", "hira")


@pytest.mark.parametrize(
    ("name", "dtype", "quantization"),
    [*((name, "float32", "none") for name in METHODS), *((name, "bfloat16", "none") for name in FORMS)]
    + [(name, "bfloat16", "nf4") for name in FORMS],
)
def test_every_method_keeps_what_is_estimated(tmp_path, name, dtype, quantization):
    """Even where the estimate says nothing of its own about the method: the rest is LoRA of the same shape."""
    model, config = ModelConfig(dtype=dtype, quantization=quantization), MethodConfig(rank=8)
    kept = kept_bytes(tmp_path, model, config, name)
    assert kept == pytest.approx(expected_bytes(model, config, name), rel=0.05)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_illada_with_its_grouped_keys_keeps_what_is_estimated(tmp_path, dtype, quantization):
    model, config = ModelConfig(dtype=dtype, quantization=quantization), MethodConfig(rank=8)
    kept = kept_bytes(tmp_path, model, config, kind="illada", n_kv_heads=2)
    shape = small_illada_config(**SHAPE | {"n_kv_heads": 2})
    assert kept == pytest.approx(expected_bytes(model, config, shape=shape), rel=0.05)


def test_the_counts_of_illada_8b_are_the_published_ones():
    counts = count(ILLaDAConfig(), METHODS["lora"], MethodConfig())
    assert (round(counts.base / 1e9, 2), round(counts.blocks / 1e9, 2), counts.modules) == (7.62, 6.98, 7 * 32)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
@pytest.mark.parametrize("name", ["lora", "dora"])
def test_under_cudas_autocast_a_quantised_base_keeps_no_more(tmp_path, monkeypatch, name, quantization):
    """peft takes another path there; it asks torch without naming a device, which is to ask about CUDA."""
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: asked(*device) if device else True)
    model, config = ModelConfig(dtype="bfloat16", quantization=quantization), MethodConfig(rank=8)
    expected = expected_bytes(model, config, name)
    assert 0.8 * expected < kept_bytes(tmp_path, model, config, name) < 1.02 * expected


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_dora_under_dropout_keeps_unpacked_weights(tmp_path, quantization):
    model, config = ModelConfig(dtype="bfloat16", quantization=quantization), MethodConfig(rank=8, dropout=0.1)
    kept = kept_bytes(tmp_path, model, config, "dora")
    assert kept == pytest.approx(expected_bytes(model, config, "dora"), rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("inputs", "outputs", "name"), [(512, 1536, "up_proj"), (1536, 512, "ff_out")])
def test_what_dora_works_with_is_the_most_that_a_layer_of_peft_allocates(inputs, outputs, name, dtype):
    base = torch.nn.ModuleDict({"up": torch.nn.Linear(inputs, outputs, bias=False, dtype=dtype)}).requires_grad_(False)
    layer = get_peft_model(base, LoraConfig(r=8, use_dora=True, target_modules=["up"])).base_model.model["up"]
    gc.collect()  # nothing that was there before may be freed on the way
    autocast = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    with profile(profile_memory=True) as recorded, autocast:
        layer(torch.ones(1, inputs, dtype=dtype))
    events = recorded.profiler.kineto_results.events()
    held = list(itertools.accumulate(event.nbytes() for event in events if event.name() == "[memory]"))
    shape = LLaDAConfig(**SHAPE | {"d_model": 512, "mlp_hidden_size": 1536})
    config = MethodConfig(rank=8, targets=(name,))
    expected = weight_norm_bytes(shape, config, dtype.itemsize)
    # Some processors pack a 16-bit weight for its product.
    packed = 0 if dtype == torch.float32 else 1.1 * inputs * outputs * dtype.itemsize
    assert 0.98 * expected <= max(held) <= 1.02 * expected + packed


def test_grouped_keys_are_kept_repeated(tmp_path):
    model, config = ModelConfig(), MethodConfig(rank=8)
    grouped = kept_bytes(tmp_path / "grouped", model, config, n_kv_heads=2)
    whole = kept_bytes(tmp_path / "whole", model, config)
    smaller_weights = 4 * LAYERS * 2 * D * D // 2  # W + s B A of the halved k and v projections
    attention = 4 * LAYERS * B * 4 * L * L  # kept where a block is one function, of as many keys as heads
    assert grouped == pytest.approx(whole - smaller_weights - attention, rel=0.01)


def test_dropout_keeps_an_input_per_layer(tmp_path):
    model, config = ModelConfig(), MethodConfig(rank=8, dropout=0.1)
    assert kept_bytes(tmp_path, model, config) == pytest.approx(expected_bytes(model, config), rel=0.1)


def test_checkpointing_keeps_the_block_inputs_alone(tmp_path):
    model = ModelConfig(activation_checkpointing=True)
    expected = LAYERS * B * L * D * 4 + B * L * D * 12
    assert kept_bytes(tmp_path, model, MethodConfig(rank=8)) == pytest.approx(expected, rel=0.15)


@pytest.fixture(scope="module")
def eight_billion() -> Workload:
    """LoRA of rank 16 on LLaDA-8B's shape, rows of 512 tokens, counted by hand."""
    width, hidden, layers, words = 4096, 12288, 32, 126464
    blocks = layers * (4 * width * width + 3 * width * hidden + 2 * width)
    trainable = layers * 16 * (4 * 2 * width + 3 * (width + hidden))
    counts = Counts(blocks + 2 * words * width + width, blocks, blocks - layers * 2 * width, trainable, layers * 7)
    return Workload(LLaDAConfig(), counts, METHODS["lora"], MethodConfig(rank=16), np.full(64, 512), 0)


def one_row(**changes):
    return TrainConfig(micro_batch_size=1, eos_tail="none", **changes)


def test_counts_are_those_of_the_published_network(eight_billion):
    counted = count(LLaDAConfig(), METHODS["lora"], MethodConfig(rank=16))
    assert counted == eight_billion.counts
    assert counted.base == 8_015_581_184


def test_nf4_and_bfloat16_bases_have_their_published_sizes(eight_billion):
    def base(kind: str) -> float:
        return eight_billion.memory(ModelConfig(dtype="bfloat16", quantization=kind), one_row(), CARD).base

    assert base("none") == 2 * 8_015_581_184
    assert base("nf4") / 1e9 == pytest.approx(5.7, rel=0.01)
    assert base("int8") / 1e9 == pytest.approx(6.979 + 2 * 2 * 0.518, rel=0.001)


def test_activations_of_a_row_match_measurements_at_full_size(eight_billion):
    """2.5 GiB per row of 512 tokens kept without checkpointing, 0.22 GB of block inputs and one block with."""
    plain = ModelConfig(dtype="bfloat16")
    kept = block_activation_bytes(LLaDAConfig(), eight_billion.config, 2, "added", cuda=True) * 512 * 32
    assert kept / GIB == pytest.approx(2.5, rel=0.05)
    saved = eight_billion.memory(plain, one_row(), CARD).activations
    frugal = plain.model_copy(update={"activation_checkpointing": True})
    assert eight_billion.memory(frugal, one_row(), CARD).activations < 0.12 * saved


def test_memory_grows_with_the_micro_batch_and_not_with_the_global_one(eight_billion):
    def activations(micro: int, whole: int) -> float:
        train = TrainConfig(micro_batch_size=micro, global_batch_size=whole, eos_tail="none")
        return eight_billion.memory(ModelConfig(dtype="bfloat16"), train, CARD).activations

    assert activations(4, 16) == pytest.approx(4 * activations(1, 16), rel=0.01)
    assert activations(4, 16) == activations(4, 32)


def test_remedies_begin_with_what_costs_nothing_and_end_with_nf4(eight_billion):
    train, model = TrainConfig(micro_batch_size=4), ModelConfig(dtype="bfloat16")
    whole = eight_billion.memory(model, train, CARD)
    changes = list(remedies(Estimate(eight_billion, model, train, CARD, whole)))
    assert changes[0][0] == "train.micro_batch_size=2"
    assert "nf4" in changes[-1][0]
    assert all(memory.total < whole.total for _, memory in changes)


def test_a_run_that_does_not_fit_is_told_the_first_setting_that_does(tmp_path):
    plan = small_plan(tmp_path, train={"micro_batch_size": 8, "eos_tail": "none"})
    shape = LLaDAConfig.from_pretrained(plan.base)
    settings = (plan.method, plan.config, plan.model, plan.train, shape, np.full(64, 120), plan.seed)
    halved = plan.train.model_copy(update={"micro_batch_size": 4})
    enough = estimate(*settings, machine=CARD).workload.memory(plan.model, halved, CARD).total
    short = estimate(*settings, machine=Machine(True, enough, "a small card"))
    with pytest.raises(InputError, match=r"--set train\.micro_batch_size=4` needs"):
        check_fits(short)


MEASURE = """
import json, sys
from pathlib import Path
from typing import Any
from tests.support.small_world import small_plan
from training.run.adapter_folder import peak_memory
from training.memory.dry_run import estimate_of
from training.trainer import train
plan = small_plan(Path(sys.argv[1]), train={"max_steps": 6, "micro_batch_size": 8})
estimated = estimate_of(plan).memory.total
train(plan)
print(json.dumps([estimated / 2**30, peak_memory()["host_gib"]]))
"""


def test_the_estimate_is_within_ten_percent_of_a_training_process(tmp_path):
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    estimated, measured = json.loads(result.stdout.splitlines()[-1])
    assert estimated == pytest.approx(measured, rel=0.1)
