"""Each method as peft sees it, and what its optimizer does."""

import math

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from torch.utils.flop_counter import FlopCounterMode

from adapters.attach import adapted_layers, assert_adapted, attach, wrap
from adapters.base import load_unquantised
from adapters.config import METHOD_NAMES, MethodConfig, ModelConfig
from adapters.forward import _Block, _Merged, _whole_is_cheaper, lean_forward_passes
from adapters.methods import METHODS, method_named
from common.errors import InputError
from llada.diffusion.loss import masked_diffusion_loss
from tests.support.small_world import LAYERS, small_model, start_rows
from training.config import TrainConfig
from training.optimizer import make_optimizer


def adapted(tmp_path, name="lora", base=None, **settings):
    return attach(
        base if base is not None else small_model().requires_grad_(False),
        METHODS[name],
        MethodConfig(**({"rank": 4} | settings)),
        ModelConfig(),
        tmp_path / "cache",
        seed=0,
        rows=start_rows(),
    ).model


def some_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 50, (4, 18), generator=generator)
    maskable = (torch.arange(18) >= 6).expand(4, 18)
    t = torch.tensor([0.3, 0.5, 0.7, 0.9])
    mask = (torch.rand(4, 18, generator=generator) < t[:, None]) & maskable
    return ids, maskable, t, mask


def some_loss(model, seed=0):
    return masked_diffusion_loss(model, *some_batch(seed))


def test_config_and_code_name_the_same_methods():
    assert set(METHODS) == set(METHOD_NAMES)


def test_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"lroa.*loraplus"):
        method_named("lroa")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_starts_as_the_base(tmp_path, name):
    ids = torch.randint(0, 50, (3, 20))
    model = adapted(tmp_path, name)
    assert torch.allclose(model(ids).logits, small_model()(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_adapts_each_projection_once_and_nothing_else(tmp_path, name):
    model = adapted(tmp_path, name)
    layers = adapted_layers(model)
    assert len(layers) == 7 * LAYERS
    assert all(".blocks." in layer for layer in layers)
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert len(trainable) == len(layers) * {"dora": 3, "miss": 1}.get(name, 2)
    assert {p.dtype for p in trainable.values()} == {torch.float32}


def test_an_adapter_on_the_head_is_refused(tmp_path):
    from peft import LoraConfig, get_peft_model

    by_suffix = get_peft_model(small_model(), LoraConfig(r=4, target_modules=["ff_out"]))  # the trap: head included
    with pytest.raises(ValueError, match="expected"):
        assert_adapted(by_suffix, MethodConfig(rank=4, targets=("ff_out",)))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_adapters_are_float32_over_a_16_bit_base(tmp_path, name, dtype):
    small_model().save_pretrained(tmp_path / "base")
    base = load_unquantised(ModelConfig(dtype=dtype), tmp_path / "base", "cpu")
    model = adapted(tmp_path, name, base=base)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert base.get_input_embeddings().weight.dtype == getattr(torch, dtype)  # nothing else was upcast


def test_loraplus_rates_differ_by_exactly_the_ratio(tmp_path):
    config, train = MethodConfig(rank=4, ratio=16.0), TrainConfig(learning_rate=1e-3)
    model = adapted(tmp_path, "loraplus")
    optimizer = make_optimizer(model, METHODS["loraplus"], config, train)
    first, second = optimizer.param_groups
    assert second["lr"] == 16 * first["lr"] == 16e-3
    names = {id(p): n for n, p in model.named_parameters()}
    assert all("lora_A" in names[id(p)] for p in first["params"])
    assert all("lora_B" in names[id(p)] for p in second["params"])
    assert len(first["params"]) == len(second["params"]) == 7 * LAYERS


def test_loraplus_moves_b_ratio_times_as_far_as_a_in_the_first_step(tmp_path):
    """Adam's first step is the rate times the gradient's sign, so it shows each parameter's rate."""
    model = adapted(tmp_path, "loraplus_pissa")
    optimizer = make_optimizer(
        model, METHODS["loraplus"], MethodConfig(rank=4, ratio=8.0), TrainConfig(learning_rate=1e-4)
    )
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    some_loss(model).backward()
    optimizer.step()
    moved = {n: (p.detach() - before[n]).abs().median() for n, p in model.named_parameters() if p.requires_grad}
    for name, distance in moved.items():
        expected = 8e-4 if "lora_B" in name else 1e-4
        assert distance == pytest.approx(expected, rel=0.02), name
    assert all(state["step"] == 1 for state in optimizer.state.values())


@pytest.mark.parametrize("name", ["lora", "loraplus"])
def test_weight_decay_applies_to_a_and_b(tmp_path, name):
    """With a zero gradient AdamW only decays: p <- p (1 - lr wd). peft drops a plain `weight_decay` for LoRA+."""
    model = adapted(tmp_path, name)
    config, train = MethodConfig(rank=4, ratio=4.0), TrainConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(model, METHODS[name], config, train)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for parameter in parameters.values():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for n, parameter in parameters.items():
        rate = 0.4 if name == "loraplus" and "lora_B" in n else 0.1
        assert torch.allclose(parameter, torch.full_like(parameter, 1 - rate * 0.5)), n


def test_rank_stabilised_scaling_is_alpha_over_the_root_of_the_rank(tmp_path):
    config = MethodConfig(rank=16, alpha=8)
    assert METHODS["rslora"].scaling(config) == 2.0
    assert METHODS["lora"].scaling(config) == 0.5
    layer = next(iter(adapted_layers(adapted(tmp_path, "rslora", rank=16, alpha=8)).values()))
    assert layer.scaling["default"] == 2.0


def test_alpha_defaults_to_the_rank():
    assert METHODS["pissa"].scaling(MethodConfig(rank=12)) == 1.0


def test_random_a_depends_on_the_seed_alone():
    torch.manual_seed(1)
    one = wrap(small_model(), METHODS["lora"], MethodConfig(rank=4), seed=3)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    two = wrap(small_model(), METHODS["lora"], MethodConfig(rank=4), seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    other = wrap(small_model(), METHODS["lora"], MethodConfig(rank=4), seed=4)
    a = [dict(model.named_parameters()) for model in (one, two, other)]
    assert all(torch.equal(a[0][n], a[1][n]) for n in a[0])
    assert not all(torch.equal(a[0][n], a[2][n]) for n in a[0])


QUANTISED = [("llada", name) for name in METHODS if METHODS[name].start not in ("corda", "lora_ga")]


@pytest.mark.parametrize(("kind", "name"), [*QUANTISED, ("illada", "lora"), ("illada", "pissa")])
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_every_method_trains_on_a_quantised_base_with_8_bit_adam(tmp_path, kind, name, quantization):
    if (name, quantization) == ("gralora", "int8"):
        return  # refused by the plan: peft adds in place to what bitsandbytes' function returns
    small_model(kind=kind).save_pretrained(tmp_path / "base")
    settings = ModelConfig(quantization=quantization, dtype="float32")
    base = load_unquantised(settings, tmp_path / "base", "cpu")
    config = MethodConfig(rank=4, ratio=2.0)
    model = attach(base, METHODS[name], config, settings, tmp_path / "cache", seed=0, rows=start_rows()).model
    optimizer = make_optimizer(
        model, METHODS[name], config, TrainConfig(learning_rate=5e-3, optimizer="paged_adamw_8bit")
    )
    first = some_loss(model).item()
    for _ in range(8):
        optimizer.zero_grad()
        some_loss(model).backward()
        optimizer.step()
    last = some_loss(model).item()
    assert math.isfinite(last)
    assert last < first


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize("outputs", [(8,), (8, 8, 8), (64, 32)])
def test_one_product_of_several_layers_is_the_sum_of_theirs(rows, outputs):
    """float64, with the whole weight's gradient and with the factors' alone, against autograd."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, weights = drawn(rows, 3, 16).requires_grad_(), [drawn(width, 16) for width in outputs]
    As = [drawn(4, 16).requires_grad_() for _ in outputs]
    Bs = [drawn(width, 4).requires_grad_() for width in outputs]
    scalings = tuple(0.5 + index for index in range(len(outputs)))
    found = _Merged.apply(x, scalings, *weights, *As, *Bs)
    expected = [x @ (W + s * B @ A).mT for W, A, B, s in zip(weights, As, Bs, scalings, strict=True)]
    slopes = [torch.randn_like(one) for one in expected]
    pairs = [*zip(found, expected, strict=True)]
    learnt = (x, *As, *Bs)
    pairs += zip(torch.autograd.grad(found, learnt, slopes), torch.autograd.grad(expected, learnt, slopes), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_both_ways_to_the_factors_gradients_are_taken():
    assert _whole_is_cheaper(554, 32, 128, 128, layers=1)
    assert not _whole_is_cheaper(2048, 64, 4096, 4096, layers=1)
    assert {_whole_is_cheaper(120, 4, *shape) for shape in ((24, 16, 3), (96, 16, 2))} == {True, False}


@pytest.mark.parametrize("kv_heads", [2, 4])  # with 4, as many as others, a block is one function
@pytest.mark.parametrize("name", ["lora", "pissa", "rslora"])
def test_fused_forward_has_pefts_outputs_and_gradients(tmp_path, name, kv_heads, monkeypatch):
    blocks = []
    monkeypatch.setattr(_Block, "apply", lambda *given, own=_Block.apply: (blocks.append(given), own(*given))[1])
    model = adapted(tmp_path, name, small_model(n_kv_heads=kv_heads).requires_grad_(False), alpha=7)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))))

    def loss_and_gradients():
        model.zero_grad()
        loss = some_loss(model)
        loss.backward()
        return loss.item(), [p.grad.clone() for p in model.parameters() if p.requires_grad]

    loss, gradients = loss_and_gradients()
    assert lean_forward_passes(model) == 7 * LAYERS
    fused_loss, fused_gradients = loss_and_gradients()
    assert len(blocks) == (LAYERS if kv_heads == 4 else 0)
    assert fused_loss == pytest.approx(loss, abs=1e-5)
    for one, two in zip(gradients, fused_gradients, strict=True):
        assert torch.allclose(one, two, atol=2e-5 * float(one.abs().max().clamp(min=0.1)), rtol=1e-4)


def test_a_block_that_is_one_function_is_computed_again_for_its_backward_pass(tmp_path):
    """With activation checkpointing: the same gradients, and between the blocks nothing is kept."""
    model = adapted(tmp_path, "lora", small_model(n_kv_heads=4).requires_grad_(False))
    assert lean_forward_passes(model) == 7 * LAYERS

    def gradients_and_kept(again):
        model.get_base_model().model.gradient_checkpointing = again
        model.zero_grad()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one: (kept.append(one.numel()), one)[1], lambda one: one):
            loss = some_loss(model)
        loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad], sum(kept)

    (once, whole), (twice, little) = gradients_and_kept(False), gradients_and_kept(True)
    assert all(torch.equal(one, other) for one, other in zip(once, twice, strict=True))
    assert little < whole / 4


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_leaner_forward_in_16_bits_is_as_near_to_the_exact_one_as_pefts(tmp_path, dtype, quantization):
    """Outputs and gradients of one layer, without loss or network, against float64 from the same 16-bit numbers."""
    kind, scaling = getattr(torch, dtype), 0.5
    base = small_model().requires_grad_(False)
    settings = ModelConfig(dtype=dtype, quantization=quantization)
    config = MethodConfig(rank=4, alpha=2)
    model = attach(base.to(kind), METHODS["lora"], config, settings, tmp_path / "cache", seed=0).model
    layer = next(layer for name, layer in adapted_layers(model).items() if name.endswith("ff_proj"))
    generator = torch.Generator().manual_seed(3)
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        B.copy_(torch.randn(B.shape, generator=generator) / 4)
    x = torch.randn(2, 9, A.shape[1], generator=generator).to(kind).requires_grad_()
    slope = torch.randn(2, 9, len(B), generator=generator).to(kind)

    def taken(forward):
        model.zero_grad()
        x.grad = None
        with torch.autocast("cpu", kind):
            y = forward(x)
        y.backward(slope)
        return [tensor.double() for tensor in (y.detach(), x.grad, A.grad, B.grad)]

    weight = layer.base_layer.weight
    wide = (dequantize_4bit(weight.data, weight.quant_state) if quantization == "nf4" else weight).double()
    exact = [tensor.detach().double().to(kind).double().requires_grad_() for tensor in (x, A, B)]
    y = exact[0] @ (wide + scaling * exact[2] @ exact[1]).mT
    expected = [y.detach(), *torch.autograd.grad(y, exact, slope.double())]
    own = taken(layer)
    assert lean_forward_passes(model) == 7 * LAYERS
    lean = taken(layer)
    for one, two, right in zip(lean, own, expected, strict=True):
        assert (one - right).norm() <= 1.05 * (two - right).norm() + 1e-3 * right.norm()


def test_recomputing_a_block_spares_the_product_of_its_last_layer(tmp_path):
    """Counted: of all products of a block's forward pass, ff_out's is not there a second time, and nothing changes."""
    base = small_model().bfloat16().requires_grad_(False)
    model = adapted_in_16_bits(base, tmp_path)

    def products(again):
        model.get_base_model().model.gradient_checkpointing = again
        model.zero_grad()
        with FlopCounterMode(display=False) as counter, torch.autocast("cpu", torch.bfloat16):
            some_loss(model).backward()
        return counter.get_total_flops(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    (once, gradient), (twice, same) = products(False), products(True)
    assert torch.equal(gradient, same)
    layers, masked = adapted_layers(model), int(some_batch()[-1].sum())
    behind = ("attn_out", "ff_proj", "up_proj", "ff_out")  # behind the last attention masked positions alone
    positions = {name: masked if f".{LAYERS - 1}." in name and name.endswith(behind) else 4 * 18 for name in layers}
    forward = sum(
        2 * positions[name] * layer.in_features * (layer.out_features + 4) for name, layer in layers.items()
    )  # x W^T and x A^T
    last = sum(
        2 * positions[name] * layer.in_features * layer.out_features
        for name, layer in layers.items()
        if name.endswith("ff_out")
    )
    assert twice - once == forward - last


def adapted_in_16_bits(base, tmp_path):
    settings, config = ModelConfig(dtype="bfloat16"), MethodConfig(rank=4)
    model = attach(base, METHODS["lora"], config, settings, tmp_path / "cache", seed=0).model
    assert lean_forward_passes(model) == 7 * LAYERS
    return model.train()


def test_layers_that_need_pefts_own_forward_are_not_fused(tmp_path):
    assert lean_forward_passes(adapted(tmp_path, "dora")) == 0
    assert lean_forward_passes(adapted(tmp_path, "lora", dropout=0.1)) == 0
