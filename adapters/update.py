"""An adapter as what it does to each weight, without the library that trained it.

    W' = W + s B A           LoRA and what is saved as LoRA; s is alpha / R, for rsLoRA alpha / sqrt(R)
    W' = m (W + s B A) / n   DoRA (Liu et al. 2024, equation 5); n is the norm of each row of W + s B A
    W' = W (1 + B A)         HiRA, number by number

computed in float64 and rounded once to the type of W.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapters.lineage import note_tail
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
    magnitude: Tensor | None = None  # (out,) float32, DoRA's
    times_weight: bool = False  # HiRA

    @property
    def shape(self) -> torch.Size:
        """Of the weight: (out, in)."""
        return torch.Size((len(self.B), self.A.shape[1]))

    def merged(self, weight: Tensor) -> Tensor:
        """The merged weight (out, in) in the type of `weight`; one float64 copy of it exists meanwhile, for HiRA
        two.
        """
        wide = weight.to(torch.float64, copy=True)
        if self.times_weight:
            return wide.addcmul_(wide, self.B.to(wide) @ self.A.to(wide), value=self.scaling).to(weight.dtype)
        wide.addmm_(self.B.to(wide), self.A.to(wide), alpha=self.scaling)
        if self.magnitude is not None:
            norms = torch.linalg.vector_norm(wide, dim=1)
            wide.mul_((self.magnitude.to(wide) / norms)[:, None])
        return wide.to(weight.dtype)


def read_adapter(folder: Path) -> dict[str, LowRank]:
    """The adapter by the name of the weight that it changes (`model.transformer.blocks.0.q_proj.weight`).

    Raises:
        InputError: no adapter in the folder, a damaged one, or a kind that is none of these.
    """
    if faults := missing_files(folder):
        raise InputError(faults)
    config = read_config(folder)
    if config.peft_type not in ("LORA", "HIRA") or config.rank_pattern or config.alpha_pattern:
        raise InputError(f"{folder / CONFIG}: not a LoRA adapter with one rank; this merges what the trainer writes")
    tensors, hira = read_tensors(folder), config.peft_type == "HIRA"
    parts = ("hira_A", "hira_B") if hira else PARTS[: 3 if config.use_dora else 2]
    names = [key.removesuffix(f".{parts[0]}") for key in tensors if key.endswith(f".{parts[0]}")]
    expected = {f"{name}.{part}" for name in names for part in parts}
    if expected != tensors.keys():
        number = len(parts)
        raise InputError(f"{folder / WEIGHTS}: {len(tensors)} tensors for {len(names)} layers; expected {number} each")
    for name in names:
        if not config.names(name.removeprefix(PREFIX)):
            raise InputError(f"{folder / CONFIG}: target_modules leaves out {name}, which {WEIGHTS} holds")
        A, B = (tensors[f"{name}.{part}"].shape for part in parts[:2])
        rows = tensors[f"{name}.{parts[2]}"].shape if len(parts) == 3 else B[:1]
        if len(A) != 2 or len(B) != 2 or not A[0] == B[1] == config.r or rows != B[:1]:
            raise InputError(f"{folder / WEIGHTS}: {name} is {list(A)} and {list(B)}, not of the rank {config.r}")
    return {
        f"{name.removeprefix(PREFIX)}.weight": LowRank(
            A=tensors[f"{name}.{parts[0]}"].float(),
            B=tensors[f"{name}.{parts[1]}"].float(),
            scaling=config.scaling,
            magnitude=tensors[f"{name}.{parts[2]}"].float() if len(parts) == 3 else None,
            times_weight=hira,
        )
        for name in names
    }


@torch.no_grad()
def add_adapter(network: Any, folder: Path) -> None:
    """Add an adapter to the weights of a loaded, unquantised network, in place.

    Raises:
        InputError: no adapter in the folder, a damaged one, or one that belongs to another base.
    """
    note_tail(network, folder)
    weights = dict(network.named_parameters())
    updates = read_adapter(folder)
    refuse_another_kind(network, folder, [f"{PREFIX}{name}" for name in updates])
    for name, update in updates.items():
        if name not in weights or weights[name].shape != update.shape:
            raise InputError(f"{folder / WEIGHTS}: changes {name} {list(update.shape)}, which this base does not have")
        weights[name].copy_(update.merged(weights[name]))
