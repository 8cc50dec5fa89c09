"""What every start that is computed has in common: A0 and B0 by layer, kept in a file that is named by what they depend
on, and the rest of the weight.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.errors import InputError, raise_if_unreadable
from common.files import atomic_path, sha256_of_json
from common.progress import console

HASHING_THREADS = 8  # each holds one weight of a base on a GPU
SMALL = 2**20  # entries of a weight that one thread decomposes
ROWS_AT_ONCE = 64  # that the residual is taken of

Factors = dict[str, tuple[Tensor, Tensor]]
"""Name of a layer -> (A0 (R, in), B0 (out, R)), float32."""


def cached(
    modules: Mapping[str, nn.Module],
    key: Mapping[str, Any],
    cache: Path,
    title: str,
    compute: Callable[[], Factors],
) -> Factors:
    """The factors from the cache folder where they are, else computed and put there; on the weights' devices.

    The file's name is a hash of `key`, so that a changed base, rank or row can never meet stale factors. Writing is
    atomic; a damaged file is named and replaced.
    """
    path = cache / f"{sha256_of_json(key)}.safetensors"
    devices = {name: weight_of(module).device for name, module in modules.items()}
    if path.exists():
        try:
            stored = load_file(path)
            return {
                name: (stored[f"{name}.A"].to(devices[name]), stored[f"{name}.B"].to(devices[name])) for name in modules
            }
        except (SafetensorError, KeyError, FileNotFoundError) as error:
            raise_if_unreadable(path, error)
            console.print(f"{path}: damaged ({error}); the {title} factors are computed again")
    factors = compute()
    with atomic_path(path) as temporary:
        save_file(
            {f"{name}.A": A.cpu().contiguous() for name, (A, _) in factors.items()}
            | {f"{name}.B": B.cpu().contiguous() for name, (_, B) in factors.items()},
            temporary,
        )
    return factors


@contextmanager
def same_for_all_thread_counts(entries: int) -> Iterator[None]:
    """One thread where the weights are small: they gain nothing from more, while the last digits of a decomposition
    depend on their number. So the default's adapters have the same bytes on every number of processors.

    Args:
        entries: of the largest weight.
    """
    threads = torch.get_num_threads()
    if entries <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def residual(weight: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
    """W - scaling * B A: the difference in float32, then rounded to the weight's type.

    On a base that is to be quantised this comes first and the quantisation after (QPiSSA), so that the quantiser sees
    the residual, whose range is smaller. The product, float32 (out, in), is the only copy of that size: it becomes the
    difference in place, in runs of rows, since torch makes a float32 copy of a 16-bit operand.
    """
    rest = B @ A  # at once: by rows, a BLAS may round its sums in another way
    rest *= scaling
    for part, rows in zip(rest.split(ROWS_AT_ONCE), weight.detach().split(ROWS_AT_ONCE), strict=True):
        torch.sub(rows, part, out=part)
    return rest.to(weight.dtype)


def rank_too_large(error: object, name: str) -> InputError:
    return InputError(f"methods.<method>.rank: {error} ({name}); choose a smaller rank")


def weight_of(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def weight_hashes(modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """Type, shape and sha256 of every weight by the module's name."""
    with ThreadPoolExecutor(min(HASHING_THREADS, os.cpu_count() or 1)) as pool:  # hashing lets other threads run
        hashes = pool.map(lambda module: _hash(weight_of(module)), modules.values())
        return dict(zip(modules, hashes, strict=True))


def _hash(weight: Tensor) -> str:
    data = weight.detach().cpu().contiguous().view(torch.uint8).numpy().data
    return f"{weight.dtype}:{tuple(weight.shape)}:{hashlib.sha256(data).hexdigest()}"
