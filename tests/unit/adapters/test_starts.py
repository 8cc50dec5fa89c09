"""Starts that peft computes, each against its definition, and what they leave behind: nothing but A0 and B0."""

import numpy as np
import pytest
import torch

from adapters.attach import attach
from adapters.base import PROJECTIONS, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.forms import lora_of_gralora, lora_of_miss
from adapters.methods import METHODS, like_lora
from adapters.starts.by_peft import StartRows, peft_factors
from common.errors import InputError
from tests.support.small_world import small_model, start_rows

NAME = "model.transformer.blocks.1.up_proj"
STARTS = ("olora", "eva", "corda", "lora_ga")


def base():
    return small_model().requires_grad_(False)


def factors(name, network=None, cache=None, tmp_path=None, rows=None, **config):
    network = base() if network is None else network
    modules = target_modules(network, PROJECTIONS)
    settings = MethodConfig(**({"rank": 4} | config))
    return peft_factors(network, modules, METHODS[name], settings, cache or tmp_path, rows or start_rows())


def inputs_of(network, name, rows):
    """What the layer is given on all rows without padding, one array (tokens, in) float64 per row."""
    seen = []
    handle = network.get_submodule(name).register_forward_hook(lambda _, given, __: seen.append(given[0][0]))
    for batch in rows.batches:
        for ids, real in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            network(ids[real.bool()][None])
    handle.remove()
    return [one.detach().double().numpy() for one in seen]


def truncated(matrix, rank):
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * singular[:rank]) @ right[:rank]


def test_olora_is_the_weight_projected_on_its_first_columns(tmp_path):
    A, B = (factor.double().numpy() for factor in factors("olora", tmp_path=tmp_path, rank=4)[NAME])
    weight = base().get_submodule(NAME).weight.double().numpy()
    first = weight[:, :4]
    projected = first @ np.linalg.solve(first.T @ first, first.T @ weight)
    assert np.allclose(B @ A, projected, atol=1e-5)


def test_corda_is_the_weight_seen_through_the_covariance_of_its_input(tmp_path):
    rows = start_rows(batches=6)  # more tokens than the layer has inputs
    A, B = (factor.double().numpy() for factor in factors("corda", tmp_path=tmp_path, rows=rows, alpha=8)[NAME])
    weight = base().get_submodule(NAME).weight.double().numpy()
    scaled = [given / np.abs(given.max()) for given in inputs_of(base(), NAME, rows)]  # as peft does, row by row
    covariance = np.mean([given.T @ given for given in scaled], axis=0)
    covariance += 0.01 * np.mean(np.diag(covariance)) * np.eye(len(covariance))
    expected = truncated(weight @ covariance, 4)
    assert np.allclose(2 * B @ A @ covariance, expected, atol=2e-3 * np.abs(expected).max())


def test_eva_finds_the_principal_directions_of_the_input(tmp_path):
    rows = start_rows(batches=6)
    A, B = factors("eva", tmp_path=tmp_path, rows=rows)[NAME]
    given = np.concatenate(inputs_of(base(), NAME, rows))
    centred = given - given.mean(axis=0)
    variances = np.linalg.eigvalsh(centred.T @ centred)
    explained = np.square(centred @ A.double().numpy().T).sum()
    assert not B.any()
    assert torch.allclose(A @ A.mT, torch.eye(4), atol=1e-4)
    assert 0.999 < explained / variances[-4:].sum() <= 1.0001


def test_lora_ga_takes_the_singular_vectors_of_the_gradient(tmp_path):
    A, B = (factor.double().numpy() for factor in factors("lora_ga", tmp_path=tmp_path)[NAME])
    network = small_model()
    start_rows().backward(network)
    gradient = network.get_submodule(NAME).weight.grad.double().numpy() / 3  # of three batches
    left, singular, right = np.linalg.svd(gradient, full_matrices=False)
    assert np.allclose(np.abs(A @ right[:4].T), np.eye(4), atol=1e-2)
    directions = B / np.linalg.norm(B, axis=0)
    assert np.allclose(np.abs(directions.T @ left[:, 4:8]), np.eye(4), atol=5e-2)
    outputs = len(gradient)
    assert np.allclose(np.linalg.norm(B, axis=0), singular[4:8] * outputs**0.25 / 4, rtol=1e-2)


@pytest.mark.parametrize("name", STARTS)
def test_a_start_depends_on_nothing_random_and_leaves_the_base_as_it_was(tmp_path, name):
    network = base()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(1)
    first = factors(name, network, tmp_path / "one")
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = factors(name, base(), tmp_path / "two")
    assert torch.equal(state, torch.random.get_rng_state())
    for key, pair in first.items():
        assert all(torch.equal(one, two) for one, two in zip(pair, second[key], strict=True)), key
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())
    assert not network.training
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
        assert not {"eigens", "covariance_matrix", "_peft_loraga_grad"} & vars(module).keys()


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_read_back_and_other_rows_have_another(tmp_path, name):
    network = base()
    first = factors(name, network, tmp_path)
    again = factors(name, network, tmp_path, rows=StartRows(start_rows().batches, backward=None))  # no pass is needed
    assert all(torch.equal(first[NAME][i], again[NAME][i]) for i in (0, 1))
    assert len(list(tmp_path.iterdir())) == 1
    factors(name, network, tmp_path, rows=start_rows(seed=1))
    assert len(list(tmp_path.iterdir())) == (1 if name == "olora" else 2)


@pytest.mark.parametrize("name", ["corda", "lora_ga", "eva"])
def test_a_start_of_rows_without_rows_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="starts from training rows"):
        attach(base(), METHODS[name], MethodConfig(rank=4), ModelConfig(), tmp_path, seed=0)


@pytest.mark.parametrize(("name", "rank"), [("olora", 65), ("corda", 65), ("lora_ga", 33), ("eva", 33)])
def test_a_rank_beyond_what_the_start_can_find_is_the_users_mistake(tmp_path, name, rank):
    with pytest.raises(InputError, match=f"of rank {rank}.*choose a smaller rank"):
        factors(name, tmp_path=tmp_path, rank=rank)


def test_eva_on_batches_of_too_few_tokens_is_the_users_mistake(tmp_path):
    rows = start_rows()
    short = [{key: value[:1] for key, value in batch.items()} for batch in rows.batches[:2]]
    with pytest.raises(InputError, match="needs start rows of more than 40 tokens"):
        factors("eva", tmp_path=tmp_path, rank=20, rows=StartRows(short, rows.backward))


def test_miss_is_lora_that_adds_up_the_slices_of_its_input():
    block, x = torch.randn(3, 5), torch.randn(8)
    A, B = lora_of_miss(block, 8)
    z = torch.stack([x[r::3].sum() for r in range(3)])
    assert torch.allclose(B @ (A @ x), block.T @ z, atol=1e-6)


def test_gralora_is_a_lora_for_each_block():
    A, B = torch.randn(2, 5, 4), torch.randn(2, 4, 3)
    wide, high = lora_of_gralora(A, B)
    weight = high @ wide  # (6, 10)
    for i in range(2):
        for j in range(2):
            own = A[i][:, 2 * j : 2 * j + 2] @ B[j][2 * i : 2 * i + 2]  # (5, 3)
            assert torch.allclose(weight[3 * j : 3 * j + 3, 5 * i : 5 * i + 5], own.T, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_without_a_section_moves_as_far_as_lora(name):
    lora = MethodConfig(rank=8, alpha=16, dropout=0.1, learning_rate=1e-3)
    config = like_lora(name, lora, 5e-4)
    method = METHODS[name]
    expected = 2.0 if method.has_alpha and not method.leaves_residual else 1.0
    assert method.scaling(config) == pytest.approx(expected)
    assert config.learning_rate == pytest.approx(1e-3 * method.rate)
    assert config.dropout == (0.0 if method.leaves_residual else 0.1)
    assert like_lora("lora", MethodConfig(), 5e-4).learning_rate == 5e-4
