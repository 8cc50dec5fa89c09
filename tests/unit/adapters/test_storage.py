"""Saved adapters: plain LoRA on the original base, the same function wherever they are loaded."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters import load_adapter
from adapters.attach import attach
from adapters.base import load_base, load_unquantised
from adapters.config import METHOD_NAMES, MethodConfig, ModelConfig
from adapters.methods import METHODS
from adapters.storage import COMMON, save_adapter, trainable_tensors
from adapters.update import add_adapter
from common.errors import InputError
from tests.support.imports import REPOSITORY
from tests.support.small_world import KINDS, LAYERS, small_model, small_plan, start_rows
from training import trainer
from training.run import processes


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Matrices this small are slower on two."""
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))


IDS = torch.randint(0, 50, (3, 21), generator=torch.Generator().manual_seed(5))


def trained(tmp_path, name, quantization="none", named=(None, None), kind="llada", **settings):
    """A model whose adapter was moved away from its start, and the folder it was saved to."""
    small_model(kind=kind).save_pretrained(tmp_path / "base")
    model = ModelConfig(quantization=quantization)
    config = MethodConfig(**({"rank": 4} | settings))
    base = load_unquantised(model, tmp_path / "base", "cpu")
    result = attach(base, METHODS[name], config, model, tmp_path / "cache", seed=0, rows=start_rows())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in trainable_tensors(result.model).values():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    folder = tmp_path / "adapter"
    folder.mkdir()
    tensors = trainable_tensors(result.model)
    save_adapter(folder, result.model, tensors, METHODS[name], config, result.initial, *named)
    run = {"method": name, "settings": {"model": model.model_dump(), "method": config.model_dump()}}
    (folder / "run.json").write_text(json.dumps(run))
    result.model.eval()
    return result.model, folder


@pytest.mark.parametrize(("kind", "alpha"), [("llada", 6), ("illada", None)])
@pytest.mark.parametrize("name", METHOD_NAMES)
@torch.no_grad()
def test_saved_adapter_is_the_trained_function_on_the_untouched_base(tmp_path, kind, name, alpha):
    from peft import PeftModel

    model, folder = trained(tmp_path, name, kind=kind, alpha=alpha)
    expected, of_base = model(IDS).logits, small_model(kind=kind)(IDS).logits
    assert (expected - of_base).abs().max() > 0.01
    loaded = load_adapter(load_base(ModelConfig(), tmp_path / "base"), folder)
    assert torch.allclose(loaded(IDS).logits, expected, atol=1e-5, rtol=0)
    with loaded.disable_adapter():
        assert torch.equal(loaded(IDS).logits, of_base)
    alone = PeftModel.from_pretrained(small_model(kind=kind), str(folder)).eval()
    assert torch.allclose(alone(IDS).logits, expected, atol=1e-5, rtol=0)


PUBLISHED = {
    "llada": ("model.transformer.blocks", "q_proj k_proj v_proj attn_out ff_proj up_proj ff_out"),
    "illada": (
        "model.layers",
        "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj mlp.up_proj mlp.down_proj",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_the_published_names_and_the_head_is_not_among_them(tmp_path, kind):
    _, folder = trained(tmp_path, "pissa", kind=kind)
    blocks, names = PUBLISHED[kind][0], PUBLISHED[kind][1].split()
    expected = {
        f"base_model.model.{blocks}.{layer}.{name}.lora_{letter}.weight"
        for layer in range(LAYERS)
        for name in names
        for letter in "AB"
    }
    assert load_file(folder / "adapter_model.safetensors").keys() == expected


@pytest.mark.parametrize(("kind", "other"), [KINDS, KINDS[::-1]])
def test_an_adapter_of_the_other_kind_of_base_is_refused_by_name(tmp_path, kind, other):
    titles = {"llada": "LLaDA", "illada": "iLLaDA"}
    _, folder = trained(tmp_path, "lora", kind=kind)
    network = small_model(kind=other)
    for load in (load_adapter, add_adapter):
        with pytest.raises(InputError, match=f"an adapter of {titles[kind]}, and this base is {titles[other]} "):
            load(network, folder)


def test_pissa_is_saved_at_twice_the_rank_with_the_same_scaling(tmp_path):
    _, folder = trained(tmp_path, "pissa", rank=4, alpha=6)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (8, 12)
    assert config["init_lora_weights"] is True  # nothing is decomposed when it is loaded
    stored = load_file(folder / "adapter_model.safetensors")
    key = "base_model.model.model.transformer.blocks.0.q_proj.lora_A.weight"
    assert stored[key].shape == (8, 64)


KNOWN_TO_PEFT_0_12 = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode",
    "init_lora_weights", "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha",
    "lora_dropout", "megatron_config", "megatron_core", "modules_to_save", "peft_type", "r", "rank_pattern", "revision",
    "target_modules", "task_type", "use_dora", "use_rslora",
}  # fmt: skip


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_the_configuration_holds_only_what_older_versions_of_peft_know(tmp_path, name):
    _, folder = trained(tmp_path, name, named=("org/base", "0123abc"))
    written = json.loads((folder / "adapter_config.json").read_text())
    if name == "hira":  # which came later
        assert (written["peft_type"], written["r"]) == ("HIRA", 4)
        return
    assert written.keys() <= KNOWN_TO_PEFT_0_12
    assert written.keys() == set(COMMON)
    assert (written["base_model_name_or_path"], written["revision"]) == ("org/base", "0123abc")
    assert written["task_type"] == "CAUSAL_LM"
    assert written["use_dora"] is (name == "dora")


def test_pefts_own_loader_finds_the_base_by_the_configuration(tmp_path):
    from peft import AutoPeftModelForCausalLM

    model, folder = trained(tmp_path, "lora", named=(str(tmp_path / "base"), None))
    loaded = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    assert torch.allclose(loaded(IDS).logits, model(IDS).logits, atol=1e-5, rtol=0)
    with pytest.raises(NotImplementedError, match=r"llada\.generate"):
        loaded.get_base_model().prepare_inputs_for_generation(IDS)


def test_loading_does_not_touch_the_global_generator(tmp_path):
    """peft's own reload of a randomised PiSSA draws a new decomposition; ours has none to draw."""
    model, folder = trained(tmp_path, "pissa")
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        outputs.append(load_adapter(load_base(ModelConfig(), tmp_path / "base"), folder)(IDS).logits)
    assert torch.equal(*outputs)
    assert torch.allclose(outputs[0], model(IDS).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["pissa", "lora", "dora", "olora", "eva", "miss", "gralora", "hira"])
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@torch.no_grad()  # with gradients bitsandbytes takes another, differently rounded path on the CPU
def test_adapter_on_a_quantised_base_is_the_function_that_was_trained(tmp_path, name, quantization):
    model, folder = trained(tmp_path, name, quantization)
    base = load_base(ModelConfig(quantization=quantization), tmp_path / "base", "cpu")
    loaded = load_adapter(base, folder)
    assert torch.allclose(loaded(IDS).logits, model(IDS).logits, atol=1e-5, rtol=0)


def test_pissa_trained_on_nf4_still_loads_onto_the_unquantised_base(tmp_path):
    model, folder = trained(tmp_path, "pissa", "nf4")
    loaded = load_adapter(load_base(ModelConfig(), tmp_path / "base"), folder)
    expected = model(IDS).logits
    assert (loaded(IDS).logits - expected).norm() / expected.norm() < 0.3  # up to the quantisation error


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_an_adapter_is_named(tmp_path, missing):
    _, folder = trained(tmp_path, "lora")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing):
        load_adapter(small_model(), folder)


def test_a_damaged_adapter_is_named(tmp_path):
    _, folder = trained(tmp_path, "lora")
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="damaged"):
        load_adapter(small_model(), folder)


FRESH = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from adapters import load_adapter
from adapters.base import load_base
from adapters.config import ModelConfig
base, adapter, ids, out = map(Path, sys.argv[1:])
from safetensors.torch import load_file
model = load_adapter(load_base(ModelConfig(), base, "cpu"), adapter)
save_file({"logits": model(load_file(ids)["ids"]).logits.detach()}, out)
"""


def test_a_fresh_process_computes_the_same_from_the_saved_adapter(tmp_path):
    plan = small_plan(tmp_path, "pissa")
    trainer.train(plan)
    here = load_adapter(load_base(ModelConfig(), plan.base), plan.output)(IDS).logits
    save_file({"ids": IDS}, tmp_path / "ids.safetensors")
    paths = [plan.base, plan.output, tmp_path / "ids.safetensors", tmp_path / "out.safetensors"]
    root = REPOSITORY
    subprocess.run([sys.executable, "-c", FRESH, *map(str, paths)], cwd=root, check=True)
    there = load_file(tmp_path / "out.safetensors")["logits"]
    assert torch.allclose(here, there, atol=1e-6, rtol=0)
