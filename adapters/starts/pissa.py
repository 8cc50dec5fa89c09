"""PiSSA (Meng, Wang, Zhang 2024, arXiv 2404.02948): the adapter starts as the principal part of each weight.

For a weight W (out, in) with singular value decomposition U S V^T, A0 = sqrt(S_r) V_r^T (R, in) and B0 = U_r sqrt(S_r)
(out, R); the frozen base keeps the residual W - B0 A0. The model at step 0 is the base, and training moves the
directions that matter most.

peft would draw a new random SVD whenever such an adapter is loaded, silently giving another model. Here the factors are
computed once from a fixed seed and kept in a cache named by what they depend on; resuming reads them back, and the
saved adapter needs no decomposition at all (see `adapters.storage`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from adapters.starts.factors import (
    Factors,
    cached,
    rank_too_large,
    same_for_all_thread_counts,
    weight_hashes,
    weight_of,
)
from common.progress import track

OVERSAMPLING = 8  # extra columns of the random range finder (Halko, Martinsson, Tropp 2011, section 4.2: 5 to 10)
SVD_SEED = 2404_02948


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
    devices = [matrix.device] if matrix.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), same_for_all_thread_counts(matrix.numel()):
        if iterations is None:
            left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
            right = right.mT
        else:
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
    key = {
        "weights": weight_hashes(modules),
        "rank": rank,
        "iterations": iterations,
        "oversampling": OVERSAMPLING,
        "seed": SVD_SEED,
    }

    def decompose() -> Factors:
        factors: Factors = {}
        device = "cuda" if torch.cuda.is_available() else "cpu"
        for name, module in track(list(modules.items()), "PiSSA factors", enabled=progress and len(modules) > 64):
            weight = weight_of(module)
            try:
                A, B = principal_factors(weight.to(device), rank, iterations)
            except ValueError as error:
                raise rank_too_large(error, name) from None
            factors[name] = (A.to(weight.device), B.to(weight.device))
        return factors

    return cached(modules, key, cache, "PiSSA", decompose)


def divide_scaling(factors: Factors, scaling: float) -> Factors:
    """The factors as they stand in a LoRA layer that multiplies B A by `scaling`: each divided by its root."""
    if scaling == 1:
        return factors
    root = math.sqrt(scaling)
    return {name: (A / root, B / root) for name, (A, B) in factors.items()}
