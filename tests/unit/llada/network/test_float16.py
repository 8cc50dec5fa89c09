"""float16 ends at 65,504: a network whose activations pass it, against float32."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from llada.network import modeling
from llada.network.float16 import within_float16
from tests.support.small_world import KINDS, small_model

IDS = torch.randint(0, 50, (2, 16), generator=torch.Generator().manual_seed(0))
LIMIT = torch.finfo(torch.float16).max


@pytest.fixture(params=KINDS)
def large(request):
    """Gate and up projection some hundred times as large: their product and the residual stream leave float16, weights
    and the projections themselves do not.
    """
    model = small_model(kind=request.param)
    with torch.no_grad():
        for block in model.model.blocks:
            for name, deviation in (("ff_proj", 60), ("up_proj", 60), ("ff_out", 0.2)):
                weight = block.part(name).weight
                weight.mul_(deviation / weight.std())
    return model


def naive(model):
    """The float16 network as float16 alone would compute it: stream and products in the type of the weights."""

    class Narrow(modeling.LLaDABlock):
        def forward(self, x, cos, sin, mask=None, cache=None, cache_start=0, keep=None):
            return super().forward(x.half(), cos, sin, mask, cache, cache_start, keep)

    for block in model.model.blocks:
        block.__class__ = Narrow
    return model


def largest(model):
    """The largest numbers of the MLP's product and of the stream."""
    found = {"product": 0.0, "stream": 0.0}
    for block in model.model.blocks:
        block.part("ff_out").register_forward_pre_hook(
            lambda _, inputs: found.update(product=max(found["product"], float(inputs[0].abs().max())))
        )
        block.register_forward_hook(
            lambda _, __, output: found.update(stream=max(found["stream"], float(output.abs().max())))
        )
    with torch.no_grad():
        model(IDS)
    return found


def test_the_network_really_leaves_float16(large):
    assert all(value > LIMIT for value in largest(large).values())
    assert all(parameter.abs().max() < LIMIT for parameter in large.parameters())


@torch.no_grad()
def test_float16_weights_give_the_logits_of_float32_where_naive_float16_overflows(large):
    reference = large(IDS).logits
    half = large.half()
    logits = half(IDS).logits
    assert logits.dtype == torch.float16
    assert (logits.float() - reference).norm() < 0.02 * reference.norm()
    assert not naive(half)(IDS).logits.isfinite().all()


def test_gradients_are_those_of_float32(large):
    def slope(model):
        inputs = model.get_input_embeddings()(IDS).detach().requires_grad_()
        logits = model(inputs_embeds=inputs).logits.float()
        cross_entropy(logits.flatten(0, 1), IDS.flatten(), reduction="sum").backward()
        return inputs.grad.float()

    reference = slope(large)
    assert (slope(large.half()) - reference).norm() < 0.1 * reference.norm()


@pytest.mark.parametrize("factor", [1.0, 3e4, 3e6])
def test_scaling_by_powers_of_two_keeps_the_precision_of_the_terms(factor):
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 4, bias=False).half()
    x = torch.randint(-8, 9, (3, 8)) * factor
    with torch.no_grad():
        linear.weight.copy_(torch.randint(-3, 4, (4, 8)))
    expected = x.double() @ linear.weight.double().T
    terms = x.double().abs() @ linear.weight.double().abs().T  # sums that cancel are as exact as their terms
    assert ((within_float16(linear, x).double() - expected).abs() <= 1e-3 * terms).all()
    assert torch.equal(within_float16(linear, torch.zeros(1, 8)), torch.zeros(1, 4))


def test_other_types_take_the_path_without_scaling(monkeypatch):
    monkeypatch.setattr(modeling, "within_float16", None)
    for dtype in (torch.float32, torch.bfloat16):
        for kind in KINDS:
            small_model(kind=kind).to(dtype)(IDS)
