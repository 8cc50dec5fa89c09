"""PiSSA's factors: right, deterministic, cached, and taken before the base is quantised."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapters.attach import attach
from adapters.base import PROJECTIONS, load_unquantised, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS
from adapters.starts.pissa import cached_factors, principal_factors
from common.errors import InputError
from tests.support.small_world import small_model


def spectrum_matrix(rows, columns, seed=0):
    """A matrix with a decaying spectrum, as trained weights have."""
    random = np.random.default_rng(seed)
    left = np.linalg.qr(random.normal(size=(rows, rows)))[0]
    right = np.linalg.qr(random.normal(size=(columns, columns)))[0]
    rank = min(rows, columns)
    return torch.from_numpy((left[:, :rank] * 0.9 ** np.arange(rank)) @ right[:rank]).float()


def best_approximation(weight, rank):
    """The rank-R truncation by Eckart and Young, in float64 by numpy."""
    left, singular, right = np.linalg.svd(weight.double().numpy(), full_matrices=False)
    return torch.from_numpy((left[:, :rank] * singular[:rank]) @ right[:rank]).float()


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (80, 80)])
@pytest.mark.parametrize("iterations", [None, 8])
def test_factors_are_the_principal_part(shape, iterations):
    weight = spectrum_matrix(*shape)
    A, B = principal_factors(weight, 8, iterations)
    assert A.shape == (8, shape[1])
    assert B.shape == (shape[0], 8)
    tolerance = 1e-5 if iterations is None else 1e-3  # the randomised one converges by (s9/s8)^(2 iterations)
    assert torch.allclose(B @ A, best_approximation(weight, 8), atol=tolerance)


def test_singular_values_are_shared_evenly_between_the_factors():
    A, B = principal_factors(spectrum_matrix(60, 40), 5, None)
    assert torch.allclose(A @ A.T, B.T @ B, atol=1e-5)


def test_factors_neither_read_nor_move_the_global_generator():
    weight = spectrum_matrix(64, 48)
    torch.manual_seed(1)
    first = principal_factors(weight, 6, 2)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = principal_factors(weight, 6, 2)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def modules_of(seed=0):
    return target_modules(small_model(seed), PROJECTIONS)


@pytest.mark.parametrize("iterations", [None, 8])
def test_factors_of_a_small_weight_have_the_same_bytes_for_all_numbers_of_threads(iterations):
    weights = [torch.randn(256, 128, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append([principal_factors(weight, 32, iterations) for weight in weights])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_cached_factors_are_read_back_without_a_decomposition(tmp_path, monkeypatch):
    first = cached_factors(modules_of(), 4, 2, tmp_path)

    def no_decomposition(*_, **__):
        raise AssertionError("decomposed again")

    monkeypatch.setattr(torch, "svd_lowrank", no_decomposition)
    second = cached_factors(modules_of(), 4, 2, tmp_path)
    for name, pair in first.items():
        assert all(torch.equal(one, two) for one, two in zip(pair, second[name], strict=True))


def test_another_weight_rank_or_iteration_count_has_another_cache_entry(tmp_path):
    cached_factors(modules_of(), 4, 2, tmp_path)
    cached_factors(modules_of(seed=1), 4, 2, tmp_path)
    cached_factors(modules_of(), 5, 2, tmp_path)
    cached_factors(modules_of(), 4, None, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4


def test_damaged_cache_is_replaced(tmp_path, capsys):
    first = cached_factors(modules_of(), 4, 2, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    second = cached_factors(modules_of(), 4, 2, tmp_path)
    assert "damaged" in capsys.readouterr().err
    assert all(torch.equal(first[name][0], second[name][0]) for name in first)
    assert len(load_file(path)) == 2 * len(first)


def test_rank_beyond_the_weight_is_the_users_mistake(tmp_path):
    with pytest.raises(InputError, match="rank 65"):
        cached_factors(modules_of(), 65, 2, tmp_path)


def test_base_keeps_the_residual_and_the_sum_is_the_weight(tmp_path):
    before = {name: module.weight.detach().clone() for name, module in modules_of().items()}
    base = small_model().requires_grad_(False)
    result = attach(base, METHODS["pissa"], MethodConfig(rank=8, alpha=4), ModelConfig(), tmp_path, seed=0)
    layer = result.model.get_base_model().get_submodule("model.transformer.blocks.1.up_proj")
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    weight = before["model.transformer.blocks.1.up_proj"]
    assert layer.scaling["default"] == 0.5
    assert torch.allclose(layer.base_layer.weight + 0.5 * B @ A, weight, atol=1e-6)
    # The exact principal part is gone from the residual: its largest singular value is the weight's ninth.
    singular = torch.linalg.svdvals(weight)
    assert torch.linalg.svdvals(layer.base_layer.weight)[0] == pytest.approx(float(singular[8]), rel=0.02)


def test_nf4_quantises_the_residual_after_the_decomposition(tmp_path):
    import bitsandbytes as bnb

    small_model().save_pretrained(tmp_path / "base")
    settings = ModelConfig(quantization="nf4")
    base = load_unquantised(settings, tmp_path / "base", "cpu")
    weight = base.get_submodule("model.transformer.blocks.0.q_proj").weight.detach().clone()
    result = attach(base, METHODS["pissa"], MethodConfig(rank=16), settings, tmp_path / "cache", seed=0)
    layer = result.model.get_base_model().get_submodule("model.transformer.blocks.0.q_proj")
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    exact_A, exact_B = principal_factors(weight, 16, 8)  # of the float32 weight, not of a quantised one
    assert torch.equal(A, exact_A)
    assert torch.equal(B, exact_B)
    stored = layer.base_layer.weight
    held = bnb.functional.dequantize_4bit(stored.data, stored.quant_state)
    expected = bnb.functional.dequantize_4bit(
        *bnb.functional.quantize_4bit(weight - B @ A, quant_type="nf4", compress_statistics=True)
    )
    assert torch.equal(held, expected)
    plain = bnb.functional.dequantize_4bit(*bnb.functional.quantize_4bit(weight, quant_type="nf4"))
    assert (held + B @ A - weight).norm() < (plain - weight).norm()  # why one does it
