"""Loss, gradients and likelihood bound of the published model, recorded."""

import json
import math
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llada import LLaDAModelLM
from llada.diffusion.likelihood import log_likelihood
from llada.diffusion.loss import forward_process, masked_diffusion_loss

DATA = Path(__file__).parent / "data"
RECORDED = load_file(DATA / "loss_and_gradients.safetensors")
LIKELIHOOD = json.loads((DATA / "likelihood.json").read_text())


@pytest.fixture
def model():
    return LLaDAModelLM.from_pretrained(DATA, dtype=torch.float32)


def recorded_loss(model, **options):
    ids, t, mask = RECORDED["ids"], RECORDED["t"], RECORDED["mask"]
    return masked_diffusion_loss(model, ids, torch.ones_like(ids), t, mask, **options)


def test_noisy_tokens_equal_the_recorded_ones(model):
    noisy = forward_process(RECORDED["ids"], RECORDED["mask"], model.config.mask_token_id)
    assert torch.equal(noisy, RECORDED["noisy"])


@pytest.mark.parametrize("normalizer", ["answer_length", "batch_tokens"])
def test_loss_equals_the_recorded_one(model, normalizer):  # all tokens are answer and rows are equal, so both are B L
    torch.testing.assert_close(recorded_loss(model, normalizer=normalizer), RECORDED["loss"][0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("head_is_frozen", [True, False])
@pytest.mark.parametrize("chunk_bytes", [None, 4096])
def test_gradients_equal_the_recorded_ones(model, head_is_frozen, chunk_bytes):
    model.get_output_embeddings().weight.requires_grad_(not head_is_frozen)
    recorded_loss(model, chunk_bytes=chunk_bytes).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, RECORDED[f"grad.{name}"], rtol=1e-5, atol=1e-5)


def test_checkpointed_gradients_equal_the_recorded_ones(model):
    model.model.gradient_checkpointing = True
    recorded_loss(model).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, RECORDED[f"grad.{name}"], rtol=1e-5, atol=1e-5)


def test_bound_agrees_with_the_enumeration_of_all_masks(model):
    exact = LIKELIHOOD["exact_expectation_cfg0.0"]
    generator = torch.Generator().manual_seed(7)
    found = log_likelihood(model, LIKELIHOOD["prompt"], LIKELIHOOD["answer"], samples=512, generator=generator)
    assert abs(found.estimate - exact) < 3 * found.standard_error
    assert found.standard_error < 0.5


def test_enumeration_through_the_loss_equals_the_recorded_expectation(model):
    prompt, answer = LIKELIHOOD["prompt"], LIKELIHOOD["answer"]
    masks = torch.tensor([mask for mask in product((0, 1), repeat=len(answer)) if any(mask)])
    counts = masks.sum(dim=1)
    ids = torch.tensor(prompt + answer).expand(len(masks), -1)
    mask = torch.cat((torch.zeros(len(masks), len(prompt), dtype=torch.int64), masks), dim=1)
    maskable = (torch.arange(ids.shape[1]) >= len(prompt)).expand_as(ids)
    total = 0.0
    for row in range(len(masks)):  # P(this mask) = 1/A * 1/C(A, l), its value is -A/l sum CE = -A loss(t = l/A)
        part = slice(row, row + 1)
        with torch.no_grad():
            loss = masked_diffusion_loss(model, ids[part], maskable[part], counts[part] / len(answer), mask[part])
        total -= loss.item() * len(answer) / math.comb(len(answer), int(counts[row])) / len(answer)
    assert total == pytest.approx(LIKELIHOOD["exact_expectation_cfg0.0"], abs=1e-3)
