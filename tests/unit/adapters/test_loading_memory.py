"""An 8 B base goes onto a CPU weight by weight: what is held beside a weight is small, and no bit is another for it."""

import gc
import itertools

import bitsandbytes as bnb
import pytest
import torch
from torch.profiler import profile

from adapters import base
from adapters.base import quantised_linear
from adapters.config import ModelConfig
from adapters.starts import factors
from adapters.starts.factors import residual

CPU = torch.device("cpu")
DTYPES = ("float32", "bfloat16", "float16")
SHAPES = [(96, 128), (37, 192), (37, 30)]  # whole blocks of 64; a last run that is short; a last block that is


def weight_of(rows, columns, dtype):
    """A weight (rows, columns), its first rows zero, as the blocks of a base may be."""
    weight = 0.02 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    weight[:3] = 0
    return weight.to(getattr(torch, dtype))


def start_of(rows, columns):
    """A (8, columns) and B (rows, 8), float32."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(8, columns, generator=random), 0.02 * torch.randn(rows, 8, generator=random)


def most_held(function):
    """The most bytes that `function` has allocated at once."""
    gc.collect()  # nothing that was there before may be freed on the way
    with profile(profile_memory=True) as recorded:
        kept = function()
    del kept
    events = recorded.profiler.kineto_results.events()
    return max(itertools.accumulate(event.nbytes() for event in events if event.name() == "[memory]"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_nf4_in_parts_is_what_bitsandbytes_makes_of_the_whole_to_the_bit(monkeypatch, shape, dtype):
    monkeypatch.setattr(base, "QUANTISED_AT_ONCE", 256)
    weight = weight_of(*shape, dtype)
    layer = quantised_linear(weight, ModelConfig(quantization="nf4", dtype=dtype), CPU)
    whole = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4").to(CPU)
    assert torch.equal(layer.weight.data, whole.data)
    assert layer.quant_state is layer.weight.quant_state
    stored, expected = (held.quant_state.as_dict(packed=True) for held in (layer.weight, whole))
    assert stored.keys() == expected.keys()
    assert all(stored[name].dtype == expected[name].dtype for name in expected)
    assert all(torch.equal(stored[name], expected[name]) for name in expected)


def test_what_the_quantiser_holds_does_not_grow_with_the_weight(monkeypatch):
    """But for what stays: half a byte of each entry, and a sum's float32 and a byte of each 64."""
    monkeypatch.setattr(base, "QUANTISED_AT_ONCE", 2**13)
    model = ModelConfig(quantization="nf4", dtype="bfloat16")
    few, many = weight_of(64, 512, "bfloat16"), weight_of(512, 512, "bfloat16")
    quantised_linear(few, model, CPU)  # bitsandbytes keeps its tables from the first time on
    growth = most_held(lambda: quantised_linear(many, model, CPU)) - most_held(
        lambda: quantised_linear(few, model, CPU)
    )
    assert growth < 0.7 * (many.numel() - few.numel())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_residual_by_rows_is_that_of_the_whole_to_the_bit(monkeypatch, shape, dtype):
    monkeypatch.setattr(factors, "ROWS_AT_ONCE", 8)
    weight, (A, B) = weight_of(*shape, dtype), start_of(*shape)
    before = weight.clone()
    rest = residual(weight, A, B, 0.7)
    assert rest.dtype == weight.dtype
    assert torch.equal(rest, (weight.float() - 0.7 * (B @ A)).to(weight.dtype))
    assert torch.equal(weight, before)


@pytest.mark.parametrize(("dtype", "per_entry"), [("float32", 4), ("bfloat16", 6), ("float16", 6)])
def test_beside_the_weight_the_residual_is_held_once_in_float32_and_once_in_its_type(monkeypatch, dtype, per_entry):
    monkeypatch.setattr(factors, "ROWS_AT_ONCE", 8)
    weight, (A, B) = weight_of(512, 256, dtype), start_of(512, 256)
    assert most_held(lambda: residual(weight, A, B, 0.7)) <= 1.05 * per_entry * weight.numel()
