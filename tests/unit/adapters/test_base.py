"""The frozen base: what is targeted, what is quantised, what needs a gradient."""

import re

import pytest
import torch

from adapters.base import (
    PROJECTIONS,
    load_base,
    load_unquantised,
    quantise,
    quantised_linear,
    target_modules,
    target_pattern,
)
from adapters.config import ModelConfig
from llada.errors import CheckpointError
from llada.network.checkpoint import stored_dtype
from tests.support.small_world import KINDS, LAYERS, small_model, write_base


@pytest.mark.parametrize(("kind", "head"), [("llada", "model.transformer.ff_out"), ("illada", "lm_head")])
def test_pattern_matches_every_projection_and_never_the_head(kind, head):
    model = small_model(kind=kind)
    names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    matched = [name for name in names if re.fullmatch(target_pattern(PROJECTIONS, model.config.layout), name)]
    assert len(names) == 7 * LAYERS + 1
    assert set(names) - set(matched) == {head}


@pytest.mark.parametrize(
    ("kind", "name"), [("llada", "model.transformer.blocks.{}.ff_out"), ("illada", "model.layers.{}.mlp.down_proj")]
)
def test_down_projection_alone_is_matched_once_per_block(kind, name):
    modules = target_modules(small_model(kind=kind), ["ff_out"])
    assert list(modules) == [name.format(layer) for layer in range(LAYERS)]


def test_llama_style_names_are_an_error_not_half_the_modules():
    with pytest.raises(ValueError, match="no projection o_proj, down_proj; there are q_proj"):
        target_modules(small_model(), ["q_proj", "o_proj", "down_proj"])


def test_loaded_base_is_frozen_and_in_eval_mode(tmp_path):
    base = load_base(ModelConfig(), write_base(tmp_path / "base"))
    assert not base.training
    assert not any(parameter.requires_grad for parameter in base.parameters())
    assert torch.equal(
        base.state_dict()["model.transformer.wte.weight"], small_model().state_dict()["model.transformer.wte.weight"]
    )


def test_folder_without_weights_is_refused(tmp_path):
    folder = write_base(tmp_path / "base")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError):
        load_base(ModelConfig(), folder)


@pytest.mark.parametrize("base_kind", KINDS)
@pytest.mark.parametrize(("quantization", "kind"), [("nf4", "Linear4bit"), ("int8", "Int8Linear")])
def test_only_projections_inside_the_blocks_are_quantised(tmp_path, base_kind, quantization, kind):
    base = load_base(ModelConfig(quantization=quantization), write_base(tmp_path / "base", base_kind), "cpu")
    ends = ("_proj", "_out", base.config.layout.head)
    kinds = {name: type(module).__name__ for name, module in base.named_modules() if name.endswith(ends)}
    assert kinds.pop(base.config.layout.head) == "Linear"
    assert set(kinds.values()) == {kind}
    assert len(kinds) == 7 * LAYERS
    ids = torch.randint(0, 50, (2, 9))
    expected, got = small_model(kind=base_kind)(ids).logits, base(ids).logits
    assert 0 < (got - expected).norm() / expected.norm() < 0.5


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("quantization", "tolerance"), [("nf4", 1e-6), ("int8", 2e-2)])  # int8 rounds its input, too
def test_a_quantised_layer_passes_the_gradient_on_even_after_it_was_evaluated(quantization, tolerance, dtype):
    """A validation comes before the first step. Against the gradient of the layer's own matrix, g W."""
    torch.manual_seed(0)
    weight = torch.randn(64, 128)
    settings = ModelConfig(quantization=quantization, dtype=dtype)
    layer = quantised_linear(weight.to(getattr(torch, dtype)), settings, torch.device("cpu"))
    with torch.no_grad():
        dense = layer(torch.eye(128, dtype=getattr(torch, dtype))).T.double()  # (64, 128)
    inputs = torch.randn(5, 128, dtype=getattr(torch, dtype), requires_grad=True)
    gradient = torch.randn(5, 64, dtype=getattr(torch, dtype))
    layer(inputs).backward(gradient)
    assert inputs.grad is not None
    expected = gradient.double() @ dense
    tolerance = max(tolerance, 2**-7) if dtype == "bfloat16" else tolerance
    assert (inputs.grad.double() - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_base_to_be_quantised_is_loaded_in_its_files_type_and_ends_in_the_profiles(tmp_path, quantization):
    """float16 from bfloat16 files would else be a converted copy of the whole base on the host."""
    small_model().bfloat16().save_pretrained(tmp_path / "base")
    settings = ModelConfig(quantization=quantization, dtype="float16")
    base = load_unquantised(settings, tmp_path / "base", "cpu")
    assert {parameter.dtype for parameter in base.parameters()} == {torch.bfloat16}
    quantise(base, settings, "cpu")
    others = {p.dtype for name, p in base.named_parameters() if "proj" not in name and "_out" not in name}
    assert others == {torch.float16}
    assert base.get_submodule("model.transformer.ff_out").weight.dtype == torch.float16
    ids = torch.randint(0, 50, (2, 9))
    expected = small_model()(ids).logits
    assert (base(ids).logits.float() - expected).norm() / expected.norm() < 0.5


def test_each_projection_starts_and_is_quantised_before_the_next_one_is_touched(tmp_path):
    base = load_unquantised(ModelConfig(quantization="nf4"), write_base(tmp_path / "base"), "cpu")
    names, unpacked = [], []

    def starting(name, weight):
        names.append(name)
        unpacked.append(sum(type(base.get_submodule(name)) is torch.nn.Linear for name in everything))
        return torch.zeros_like(weight)

    everything = list(target_modules(base, PROJECTIONS))
    quantise(base, ModelConfig(quantization="nf4"), "cpu", starting)
    assert names == everything
    assert unpacked == list(range(len(everything), 0, -1))
    layer = base.get_submodule(everything[0])
    assert torch.equal(layer(torch.randn(1, layer.in_features)), torch.zeros(1, layer.out_features))


def test_the_stored_type_is_that_of_all_tensors_or_none(tmp_path):
    small_model().bfloat16().save_pretrained(tmp_path / "one")
    assert stored_dtype(tmp_path / "one") == torch.bfloat16
    mixed = small_model().bfloat16()
    mixed.model.transformer.ln_f.float()
    mixed.save_pretrained(tmp_path / "mixed")
    assert stored_dtype(tmp_path / "mixed") is None
    (tmp_path / "one" / "model.safetensors").write_bytes(b"damaged")
    assert stored_dtype(tmp_path / "one") is None
