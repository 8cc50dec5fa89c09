"""The kernels in Triton's language. Imported where Triton is there, and only then."""

from __future__ import annotations

import subprocess
from typing import Any, cast

import torch
import triton  # type: ignore[import-not-found]
import triton.language as tl  # type: ignore[import-not-found]
from triton.errors import TritonError  # type: ignore[import-not-found]


@triton.jit
def turn(
    x, cos, sin, result, sign, heads, length, half,
    x_row, x_head, x_place, x_width, to_row, to_head, to_place, to_width, table_row, table_place, table_width,
    HEADS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """One position of one row, all heads: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), the sine times `sign`."""
    program = tl.program_id(0).to(tl.int64)
    row, place = program // length, program % length
    head, column = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    there = (head < heads) & (column < half)
    angle = row * table_row + place * table_place + column * table_width
    cosine = tl.load(cos + angle, column < half).to(tl.float32)
    sine = tl.load(sin + angle, column < half).to(tl.float32) * sign
    source = x + row * x_row + place * x_place + head * x_head + column * x_width
    first = tl.load(source, there).to(tl.float32)
    second = tl.load(source + half * x_width, there).to(tl.float32)
    target = result + row * to_row + place * to_place + head * to_head + column * to_width
    tl.store(target, first * cosine - second * sine, there)
    tl.store(target + half * to_width, second * cosine + first * sine, there)


@triton.jit
def normalise(x, weight, result, scale, width, eps, WIDTH: tl.constexpr):
    """One position: x / rms(x), rounded to the result's type, times the weight; 1 / rms(x) goes to `scale`."""
    program = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    there = column < width
    values = tl.load(x + program * width + column, there, 0.0).to(tl.float32)
    inverse = 1.0 / tl.sqrt(tl.sum(values * values, 0) / width + eps)
    tl.store(scale + program, inverse)
    rounded = (values * inverse).to(result.dtype.element_ty).to(tl.float32)
    factor = tl.load(weight + column, there, 0.0).to(tl.float32)
    tl.store(result + program * width + column, rounded * factor, there)


@triton.jit
def normalise_back(x, weight, slope, scale, result, width, WIDTH: tl.constexpr):
    """The slope towards x: with g the slope times the weight and n = x / rms(x), (g - n mean(g n)) / rms(x)."""
    program = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    there = column < width
    inverse = tl.load(scale + program)
    normed = tl.load(x + program * width + column, there, 0.0).to(tl.float32) * inverse
    pulled = tl.load(slope + program * width + column, there, 0.0).to(tl.float32)
    pulled *= tl.load(weight + column, there, 0.0).to(tl.float32)
    pulled = pulled.to(slope.dtype.element_ty).to(tl.float32)
    common = tl.sum(pulled * normed, 0) / width
    tl.store(result + program * width + column, (pulled - normed * common) * inverse, there)


def fault() -> Exception | None:
    """Why no kernel can be compiled for this GPU: no C compiler or no headers for its launcher, a card that Triton does
    not know; None where one has run.
    """
    one, kernel = torch.ones(4, 8, device="cuda"), cast(Any, normalise)
    try:
        kernel[(4,)](one, one[0], torch.empty_like(one), one[0].clone(), 8, 1e-5, WIDTH=8)
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return error
    return None
