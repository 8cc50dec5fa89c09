"""Every tensor of training, validation and sampling is where the network is, found without a GPU."""

import numpy as np
import pytest
import torch

from llada import SamplerConfig, generate
from llada.diffusion.bound import masked_cross_entropy
from llada.diffusion.likelihood import log_likelihood
from llada.diffusion.loss import masked_diffusion_loss
from llada.network import modeling
from tests.support.small_world import random_rows, small_model
from tests.unit.training.claimed_gpu import GPU, Claimed, claimed_gpu, on_gpu
from training.batching import Rows
from training.global_batch import GlobalBatch, step_noise
from training.validation import drawn_batches, validation_draws

PROMPT = [5, 6, 7, 8]


def rows():
    made = random_rows(6, seed=3)
    tokens = [np.array(ids, dtype=np.int32) for ids, _ in made]
    return Rows([f"row-{i}" for i in range(6)], tokens, np.array([prompt for _, prompt in made]))


def micro_batch(model):
    whole = rows()
    order = np.argsort(whole.lengths)
    batch = GlobalBatch(whole, order, step_noise(1, 0, 6, True), "first:2", model.config)
    return batch.micro_batch(np.arange(6))


def loss_of(model, micro):
    batch = micro.rows
    return masked_diffusion_loss(
        model, batch.input_ids, batch.maskable, micro.levels, micro.mask, batch.attention_mask
    )  # fmt: skip


def test_claimed_tensors_refuse_those_on_the_cpu():
    with claimed_gpu():
        here, there = torch.ones(3), torch.ones(3, device="cuda")
        assert (here.device.type, there.device, (there + 1).device) == ("cpu", GPU, GPU)
        assert isinstance(there.to(torch.bfloat16), Claimed)
        assert torch.equal(there.cpu() + here, torch.full((3,), 2.0))
        assert there[torch.tensor([0, 1])].device == GPU
        for mixture in (lambda: here + there, lambda: torch.where(there > 0, there, here), lambda: there @ here):
            with pytest.raises(RuntimeError, match="same device"):
                mixture()


@pytest.mark.parametrize("recompute", [False, True])
def test_the_loss_and_its_gradients_need_nothing_from_the_cpu(recompute):
    expected = small_model()
    model = small_model()
    model.model.gradient_checkpointing = recompute
    micro = micro_batch(model)
    reference = loss_of(expected, micro)
    reference.backward()
    with claimed_gpu():
        loss = loss_of(on_gpu(model), micro.to(GPU))
        assert loss.device == GPU
        loss.backward()
        value = float(loss.detach())
    assert value == pytest.approx(float(reference.detach()), rel=1e-6)
    for (name, one), (_, two) in zip(expected.named_parameters(), model.named_parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad.as_subclass(torch.Tensor), atol=1e-6), name


def test_a_planted_fault_is_found(monkeypatch):
    def on_the_cpu(*arguments):
        cos, sin = original(*arguments)
        return cos.cpu(), sin.cpu()

    original = modeling.rotary_table
    monkeypatch.setattr(modeling, "rotary_table", on_the_cpu)
    with claimed_gpu():
        model = on_gpu(small_model())
        micro = micro_batch(model).to(GPU)
        with pytest.raises(RuntimeError, match="same device"):
            loss_of(model, micro)


@torch.no_grad()
def test_validation_and_likelihood_need_nothing_from_the_cpu():
    draws = validation_draws(rows(), 2)
    mask_token_id = small_model().config.mask_token_id
    expected = [
        masked_cross_entropy(small_model(), b.masked)
        for b in drawn_batches(rows(), draws, 4, mask_token_id, torch.device("cpu"))
    ]
    estimate = log_likelihood(small_model(), PROMPT, [9, 10], samples=4, generator=torch.Generator().manual_seed(0))
    with claimed_gpu():
        model = on_gpu(small_model())
        found = [masked_cross_entropy(model, b.masked) for b in drawn_batches(rows(), draws, 4, mask_token_id, GPU)]
        again = log_likelihood(model, PROMPT, [9, 10], samples=4, generator=torch.Generator().manual_seed(0))
    assert all(torch.allclose(one, two) for one, two in zip(expected, found, strict=True))
    assert float(again.estimate) == pytest.approx(float(estimate.estimate), rel=1e-6)


@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
@pytest.mark.parametrize("rule", ["quota", "threshold", "factor", "entropy_bound"])
def test_sampling_needs_nothing_from_the_cpu(rule, cache):
    config = SamplerConfig(gen_length=8, block_length=4, steps=8, rule=rule, cache=cache, stop_at_eos=True)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    ids = torch.tensor([PROMPT, PROMPT])
    expected = generate(small_model(), ids, mask, config).tokens
    with claimed_gpu():
        tokens = generate(on_gpu(small_model()), ids.to(GPU), mask.to(GPU), config).tokens
        assert tokens.device == GPU
        assert torch.equal(tokens.cpu(), expected)
