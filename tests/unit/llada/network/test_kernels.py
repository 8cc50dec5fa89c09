"""The Triton kernels, run by Triton's interpreter on the CPU, against PyTorch's operations. Where Triton is not there
(it comes with PyTorch for CUDA) this skips; on a GPU `benchmarks/cuda.py` holds the whole network against recordings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from llada.network import kernels
from llada.network.kernels import on_cpu
from tests.support.imports import REPOSITORY

PROGRAM = """
import json
import torch
from torch.nn import functional as F
from llada import LLaDAConfig
from llada.network import kernels
from llada.network.positions import rotary_table, rotate

torch.manual_seed(0)
found = []

def compared(one, other, x):
    slope = torch.randn_like(one)
    pairs = [(one, other), (torch.autograd.grad(one, x, slope)[0], torch.autograd.grad(other, x, slope)[0])]
    assert all(a.dtype == b.dtype and a.shape == b.shape for a, b in pairs)
    return max(float((a.float() - b.float()).abs().max()) for a, b in pairs)

for kind in (torch.float32, torch.float16):
    for heads, width, rows in ((4, 16, 1), (3, 24, 2), (1, 8, 2)):
        config = LLaDAConfig(d_model=heads * width, n_heads=heads, n_layers=1, mlp_hidden_size=8)
        x = torch.randn(2, 7, heads, width).to(kind).transpose(1, 2).requires_grad_()
        table = rotary_table(torch.stack([torch.arange(7) - row for row in range(rows)]), config, kind)
        found.append(["rotate", str(kind), compared(rotate(x, *table), kernels.rotate(x, *table), x)])
    for stored in (torch.float32, torch.float16) if kind == torch.float32 else (kind,):
        for width in (24, 64, 100):
            x, weight = (3 * torch.randn(2, 5, width)).to(kind).requires_grad_(), torch.rand(width).to(stored)
            plain = weight * F.rms_norm(x, (width,), eps=1e-5).to(stored)
            found.append(["norm", str(kind), compared(plain, kernels.rms_norm(x, weight, 1e-5), x)])
print(json.dumps(found))
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_compute_what_pytorch_does() -> None:
    """float16 within its last place, float32 within rounding. The interpreter cuts bfloat16 off instead of rounding."""
    place = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=place, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 15
    for name, kind, error in found:
        assert error <= (2e-6 if kind == "torch.float32" else 4e-3), name


def test_a_cpu_does_without_them() -> None:
    assert not kernels.usable(torch.ones(2, 8))


@pytest.mark.parametrize(
    ("dtype", "stored", "tolerance"),
    [
        (torch.float64, torch.float64, 1e-12),
        (torch.float32, torch.float32, 2e-6),  # sums of 24 numbers in another order
        (torch.bfloat16, torch.bfloat16, 4e-2),  # the last place of numbers up to 8
        (torch.float32, torch.float16, 4e-3),
    ],
    ids=str,
)
def test_the_closed_form_of_rms_norm_is_autograds(dtype, stored, tolerance):
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(2, 5, 24, generator=generator)).to(dtype).requires_grad_()
    weight = (0.5 + torch.rand(24, generator=generator)).to(stored)
    plain = weight * torch.nn.functional.rms_norm(x, (24,), eps=1e-5).to(stored)
    found = on_cpu.rms_norm(x, weight, 1e-5)
    assert torch.equal(found, plain)
    slope = torch.randn(2, 5, 24, generator=generator).to(stored)
    one, other = (torch.autograd.grad(result, x, slope)[0] for result in (found, plain))
    assert one.dtype == dtype
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
