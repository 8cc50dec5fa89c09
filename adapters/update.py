"""An adapter as what it does to each weight, without the library that trained it.

    W' = W + s B A           LoRA and what is saved as LoRA (LoRA+, PiSSA); s is alpha / R, for rsLoRA alpha / sqrt(R)
    W' = m (W + s B A) / n   DoRA (Liu et al. 2024, equation 5); n is the norm of each row of W + s B A

computed in float64 and rounded once to the type of W.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapters.storage import refuse_another_kind
from adapters.stored import CONFIG, PREFIX, WEIGHTS, missing_files, read_config, read_tensors
from common.errors import InputError

PARTS = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")


@dataclass(frozen=True)
class LowRank:
    """What an adapter does to one weight (out, in)."""

    A: Tensor  # (R, in) float32
    B: Tensor  # (out, R) float32
    scaling: float
    magnitude: Tensor | None  # (out,) float32, DoRA's

    @property
    def shape(self) -> torch.Size:
        """Of the weight: (out, in)."""
        return torch.Size((len(self.B), self.A.shape[1]))

    def merged(self, weight: Tensor) -> Tensor:
        """The merged weight (out, in) in the type of `weight`; one float64 copy of it exists meanwhile."""
        wide = weight.to(torch.float64, copy=True)
        wide.addmm_(self.B.to(wide), self.A.to(wide), alpha=self.scaling)
        if self.magnitude is not None:
            norms = torch.linalg.vector_norm(wide, dim=1)
            wide.mul_((self.magnitude.to(wide) / norms)[:, None])
        return wide.to(weight.dtype)


def read_adapter(folder: Path) -> dict[str, LowRank]:
    """The adapter by the name of the weight that it changes (`model.transformer.blocks.0.q_proj.weight`).

    Raises:
        InputError: no adapter in the folder, a damaged one, or a kind that is no plain LoRA or DoRA.
    """
    if faults := missing_files(folder):
        raise InputError(faults)
    config = read_config(folder)
    if config.peft_type != "LORA" or config.rank_pattern or config.alpha_pattern:
        raise InputError(f"{folder / CONFIG}: not a LoRA adapter with one rank; this merges what the trainer writes")
    tensors = read_tensors(folder)
    scaling = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    names = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    parts = 3 if config.use_dora else 2
    expected = {f"{name}.{part}" for name in names for part in PARTS[:parts]}
    if expected != tensors.keys():
        raise InputError(f"{folder / WEIGHTS}: {len(tensors)} tensors for {len(names)} layers; expected {parts} each")
    for name in names:
        if not config.names(name.removeprefix(PREFIX)):
            raise InputError(f"{folder / CONFIG}: target_modules leaves out {name}, which {WEIGHTS} holds")
        A, B = (tensors[f"{name}.{part}"].shape for part in PARTS[:2])
        rows = tensors[f"{name}.{PARTS[2]}"].shape if parts == 3 else B[:1]
        if len(A) != 2 or len(B) != 2 or not A[0] == B[1] == config.r or rows != B[:1]:
            raise InputError(f"{folder / WEIGHTS}: {name} is {list(A)} and {list(B)}, not of the rank {config.r}")
    return {
        f"{name.removeprefix(PREFIX)}.weight": LowRank(
            A=tensors[f"{name}.lora_A.weight"].float(),
            B=tensors[f"{name}.lora_B.weight"].float(),
            scaling=scaling,
            magnitude=tensors[f"{name}.lora_magnitude_vector"].float() if parts == 3 else None,
        )
        for name in names
    }


@torch.no_grad()
def add_adapter(network: Any, folder: Path) -> None:
    """Add an adapter to the weights of a loaded, unquantised network, in place.

    Raises:
        InputError: no adapter in the folder, a damaged one, or one that belongs to another base.
    """
    weights = dict(network.named_parameters())
    updates = read_adapter(folder)
    refuse_another_kind(network, folder, [f"{PREFIX}{name}" for name in updates])
    for name, update in updates.items():
        if name not in weights or weights[name].shape != update.shape:
            raise InputError(f"{folder / WEIGHTS}: changes {name} {list(update.shape)}, which this base does not have")
        weights[name].copy_(update.merged(weights[name]))
