"""A block as one function on the CPU, against the block written in PyTorch's operations and autograd's gradients."""

import pytest
import torch
from torch.nn.functional import linear

from llada.network.kernels import block_on_cpu
from llada.network.positions import rotary_table
from tests.support.small_world import KINDS, small_model

B, L = 3, 7
LAYERS = ("q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj", "ff_out")
PLACES = torch.tensor([12, 1, 4, 20, 9])
ASKED = {"all": None, "slice": slice(2, 5), "places": PLACES}


def parts(kind, dtype, masked):
    """A block with random weights and norms, and what its forward pass gets."""
    model = small_model(kind=kind, n_heads=4, n_kv_heads=4).requires_grad_(False)
    generator = torch.Generator().manual_seed(7)
    block = model.model.blocks[1].to(dtype)
    for parameter in block.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(B, L, model.config.d_model, generator=generator).to(dtype)
    starts = torch.tensor([[0], [2], [0]]) if masked else torch.zeros(1, 1, dtype=torch.int64)
    cos, sin = rotary_table(torch.arange(L)[None] - starts, model.config)
    mask = torch.arange(L) >= starts[:, :, None, None] if masked else None
    return block, x, cos.to(dtype), sin.to(dtype), mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True], ids=["whole rows", "padded"])
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)], ids=str)
def test_it_is_the_block(kind, masked, asked, dtype, tolerance):
    """Relative to the largest number; sums of at most 64 numbers in another order."""
    block, x, cos, sin, mask = parts(kind, dtype, masked)
    assert block_on_cpu.fits(block, x, cos)
    keep, weights = ASKED[asked], [block.part(name).weight.requires_grad_() for name in LAYERS]
    x.requires_grad_()
    expected = block(x, cos, sin, mask, keep=keep)
    with torch.no_grad():
        mine = block_on_cpu.BlockWeights.of(block)
        found, kept = block_on_cpu.forward(mine, x, cos, sin, mask, keep)
        assert found.shape == expected.shape
        assert_near(found, expected, tolerance)
        assert torch.equal(block(x, cos, sin, mask, keep=keep), found)  # what a block without gradients takes
    if asked == "slice":
        return
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    gradients = torch.autograd.grad(expected, [x, *weights], slope)
    with torch.no_grad():
        to_x, slopes = block_on_cpu.backward(mine, kept, slope)
        assert block_on_cpu.backward(mine, kept, slope, wants_x=False)[0] is None
    assert_near(to_x, gradients[0], tolerance)
    qkv, attn_out, gate_up, ff_out = (outer.t() @ inner for outer, inner in slopes)
    q, k, v = qkv.chunk(3)
    q, k = (block_on_cpu.in_halves(rows, block.n_heads) for rows in (q, k))
    for one, other in zip((q, k, v, attn_out, *gate_up.chunk(2), ff_out), gradients[1:], strict=True):
        assert_near(one, other, tolerance)


def assert_near(found, expected, tolerance):
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_rows_in_pairs_are_those_in_halves():
    rows = torch.arange(16)
    assert block_on_cpu.in_pairs(rows, 2).tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    assert torch.equal(block_on_cpu.in_halves(block_on_cpu.in_pairs(rows, 2), 2), rows)


@torch.no_grad()
def test_layers_that_do_more_than_a_product_are_asked():
    """A hook, another class in a layer's place: both are called."""
    block, x, cos, sin, _ = parts("llada", torch.float32, masked=False)
    plain, heard = block(x, cos, sin), []
    for name in (*LAYERS, "attn_norm", "ff_norm"):
        handle = block.part(name).register_forward_hook(lambda *_, name=name: heard.append(name))
        assert_near(block(x, cos, sin), plain, 2e-6)
        assert heard.pop() == name
        handle.remove()

    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * linear(x, self.weight)

    block.part("ff_out").__class__ = Doubled
    assert not torch.allclose(block(x, cos, sin), plain)


@pytest.mark.parametrize(
    "case", ["long rows", "large weights", "another type", "fewer key heads", "autocast", "trained norms"]
)
def test_what_it_does_not_compute_takes_the_other_way(case, monkeypatch):
    block, x, cos, _, _ = parts("llada", torch.float32, masked=False)
    if case == "long rows":
        x = x.repeat(1, block_on_cpu.LONGEST, 1)
    elif case == "large weights":
        monkeypatch.setattr(block_on_cpu, "LARGEST", block.part("ff_proj").weight.numel() - 1)
    elif case == "another type":
        x = x.bfloat16()
    elif case == "fewer key heads":
        block.n_kv_heads = 2
    elif case == "trained norms":
        block.part("attn_norm").weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        assert not block_on_cpu.fits(block, x, cos)
