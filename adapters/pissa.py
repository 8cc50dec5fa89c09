"""PiSSA (Meng, Wang, Zhang 2024, arXiv 2404.02948): the adapter starts as the principal part of each weight.

For a weight W (out, in) with singular value decomposition U S V^T, A0 = sqrt(S_r) V_r^T (R, in) and B0 = U_r sqrt(S_r)
(out, R); the frozen base keeps the residual W - B0 A0. The model at step 0 is the base, and training moves the
directions that matter most.

peft would draw a new random SVD whenever such an adapter is loaded, silently giving another model. Here the factors are
computed once from a fixed seed and kept in a cache named by what they depend on; resuming reads them back, and the
saved adapter needs no decomposition at all (see `adapters.storage`).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from common.errors import InputError
from common.files import atomic_path, sha256_of_json
from common.progress import console, track

OVERSAMPLING = 8  # extra columns of the random range finder (Halko, Martinsson, Tropp 2011, section 4.2: 5 to 10)
SVD_SEED = 2404_02948
HASHING_THREADS = 8  # each holds one weight of a base on a GPU

Factors = dict[str, tuple[Tensor, Tensor]]


def principal_factors(weight: Tensor, rank: int, iterations: int | None) -> tuple[Tensor, Tensor]:
    """A0 (R, in) and B0 (out, R), float32, on the weight's device, with B0 @ A0 the rank-R principal part of `weight`.

    Args:
        weight: (out, in), any floating type; decomposed in float32.
        rank: R.
        iterations: power iterations of the randomised SVD (Halko et al., algorithm 5.1, through `torch.svd_lowrank`,
            which transposes wide matrices itself); None takes the exact SVD.

    Raises:
        ValueError: `rank` exceeds the smaller side of the matrix.
    """
    if rank > min(weight.shape):
        raise ValueError(f"rank {rank} exceeds the smaller side of a {tuple(weight.shape)} weight")
    matrix = weight.detach().float()
    if iterations is None:
        left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
        right = right.mT
    else:
        devices = [matrix.device] if matrix.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(SVD_SEED)
            columns = min(rank + OVERSAMPLING, *matrix.shape)
            left, singular, right = torch.svd_lowrank(matrix, q=columns, niter=iterations)
    root = singular[:rank].sqrt()
    return (right[:, :rank] * root).mT.contiguous(), (left[:, :rank] * root).contiguous()


def cached_factors(
    modules: Mapping[str, nn.Module], rank: int, iterations: int | None, cache: Path, progress: bool = True
) -> Factors:
    """The factors of every module's weight, from the cache folder where they are, else computed and put there.

    The cache file's name is a hash of every weight's bytes, the rank, the iterations, the oversampling and the seed, so
    that a changed base can never meet stale factors. Writing is atomic; a damaged file is named and replaced.

    Returns:
        name -> (A0 (R, in), B0 (out, R)), float32, on the weight's device.

    Raises:
        InputError: the rank is larger than a weight allows.
    """
    path = cache / f"{_cache_key(modules, rank, iterations)}.safetensors"
    devices = {name: _weight(module).device for name, module in modules.items()}
    if path.exists():
        try:
            cached = load_file(path)
            return {
                name: (cached[f"{name}.A"].to(devices[name]), cached[f"{name}.B"].to(devices[name])) for name in modules
            }
        except (SafetensorError, KeyError) as error:
            console.print(f"{path}: damaged ({error}); the PiSSA factors are computed again")
    factors: Factors = {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, module in track(list(modules.items()), "PiSSA factors", enabled=progress and len(modules) > 64):
        try:
            A, B = principal_factors(_weight(module).to(device), rank, iterations)
        except ValueError as error:
            raise InputError(f"methods.<method>.rank: {error} ({name}); choose a smaller rank") from None
        factors[name] = (A.to(devices[name]), B.to(devices[name]))
    with atomic_path(path) as temporary:
        save_file(
            {f"{name}.A": A.cpu() for name, (A, _) in factors.items()}
            | {f"{name}.B": B.cpu() for name, (_, B) in factors.items()},
            temporary,
        )
    return factors


def divide_scaling(factors: Factors, scaling: float) -> Factors:
    """The factors as they stand in a LoRA layer that multiplies B A by `scaling`: each divided by its root."""
    root = math.sqrt(scaling)
    return {name: (A / root, B / root) for name, (A, B) in factors.items()}


def residual(weight: Tensor, A: Tensor, B: Tensor, scaling: float) -> Tensor:
    """W - scaling * B A: the difference in float32, then rounded to the weight's type.

    On a base that is to be quantised this comes first and the quantisation after (QPiSSA), so that the quantiser sees
    the residual, whose range is smaller.
    """
    return (weight.detach().float() - scaling * (B @ A)).to(weight.dtype)


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _cache_key(modules: Mapping[str, nn.Module], rank: int, iterations: int | None) -> str:
    with ThreadPoolExecutor(min(HASHING_THREADS, os.cpu_count() or 1)) as pool:  # hashing lets other threads run
        hashes = pool.map(lambda module: _hash(_weight(module)), modules.values())
        weights = dict(zip(modules, hashes, strict=True))
    return sha256_of_json(
        {
            "weights": weights,
            "rank": rank,
            "iterations": iterations,
            "oversampling": OVERSAMPLING,
            "seed": SVD_SEED,
        }
    )


def _hash(weight: Tensor) -> str:
    data = weight.detach().cpu().contiguous().view(torch.uint8).numpy().data
    return f"{weight.dtype}:{tuple(weight.shape)}:{hashlib.sha256(data).hexdigest()}"
