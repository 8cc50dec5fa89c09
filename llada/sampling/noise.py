"""Random numbers for the sampler that depend on the row and the place, not on the batch.

A generator consumed row by row gives a row other numbers as soon as another row joins or leaves the batch. Here every
number is a pure function of (row key, position, step, token): SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable
pseudorandom number generators") run as a counter, in int64 arithmetic that wraps, the same on every device. Over a
vocabulary of 126,464 that is a stream of millions of numbers per step, drawn where the logits are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15 - 2**64  # the increment of SplitMix64, as a signed number
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def row_keys(
    prompts: Sequence[Sequence[int]], generator: torch.Generator | None, row_ids: Sequence[int] | None
) -> Tensor:
    """One 64-bit key per row, (B,) int64 on the CPU; draws one number from `generator`, however many rows there are.

    Without `row_ids` a row's key comes from its own prompt and the number of equal prompts before it in the batch: one
    generator state gives a prompt the same answer in any batch, and equal prompts different ones. With `row_ids`
    the key comes from the id instead.
    """
    device = generator.device if generator is not None else "cpu"
    base = int(torch.randint(2**63 - 1, (), generator=generator, device=device, dtype=torch.int64))
    if row_ids is not None:
        names = [f"{base} id {row}" for row in row_ids]
    else:
        seen: Counter[str] = Counter()
        names = []
        for prompt in prompts:
            text = ",".join(map(str, prompt))
            names.append(f"{base} prompt {text} copy {seen[text]}")
            seen[text] += 1
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def fold(keys: Tensor, value: Tensor | int) -> Tensor:
    """New keys, int64, from keys and a counter; both are broadcast."""
    counter = torch.as_tensor(value, dtype=torch.int64, device=keys.device)  # Python's integers would not wrap
    return _mix(keys + (counter + 1) * _GAMMA)


def uniform(keys: Tensor, width: int) -> Tensor:
    """(n,) keys -> (n, width) float64, uniform on the open interval (0, 1), 53 random bits each."""
    bits = fold(keys[:, None], torch.arange(width, device=keys.device))
    return (_shift(bits, 11).to(torch.float64) + 0.5) * 2.0**-53


def gumbel(keys: Tensor, width: int) -> Tensor:
    """(n,) keys -> (n, width) float64, standard Gumbel: -log(-log(u))."""
    return uniform(keys, width).log_().neg_().log_().neg_()


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
