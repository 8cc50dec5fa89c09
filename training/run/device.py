"""What a training runs on: named at its start, and refused where nobody can have meant it."""

from __future__ import annotations

import math

import torch

from common.errors import InputError
from common.progress import console
from llada.network.checkpoint import published_shapes
from training.plan import TrainingPlan

LARGE = 1_000_000_000  # weights of a base that takes months on a CPU


def check_device(plan: TrainingPlan, device: torch.device, on_cpu: bool) -> None:
    """Say from the first process what the training runs on, and what is slow about it.

    Args:
        on_cpu: the user wants it on the CPU, however large the base.

    Raises:
        InputError: a large base on the CPU, which nobody asked for.
        llada.errors.CheckpointError, OSError: the base has no usable config.json.
    """
    if plan.is_first_process:
        console.print(f"{plan.method_name}: on {describe(device)}", soft_wrap=True)
        if plan.model.dtype == "bfloat16" and emulates_bfloat16(device):
            console.print(
                f"{plan.method_name}: {describe(device)} has no bfloat16 and emulates it, several times as slow; "
                "take --set model.dtype=float16, or the profile llada-8b-t4",
                soft_wrap=True,
            )
    if device.type == "cpu" and not on_cpu and (weights := weights_of(plan)) >= LARGE:
        raise InputError(
            f"model.base: {plan.model.base} has {weights / 1e9:.1f} billion weights and torch sees no GPU "
            f"({why_no_gpu()}); on a CPU this takes months, --cpu trains there all the same"
        )


def describe(device: torch.device) -> str:
    """The card's name and compute capability, or the CPU's threads."""
    if device.type != "cuda":
        return f"the CPU, {torch.get_num_threads()} threads"
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor})"


def emulates_bfloat16(device: torch.device) -> bool:
    """Turing and older cards compute in bfloat16 only by way of float32."""
    return device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)


def why_no_gpu() -> str:
    """The likely reason: a driver too old for torch's CUDA looks the same as no GPU."""
    built = torch.version.cuda
    if built is None:
        return "this torch is built without CUDA"
    return f"it is built for CUDA {built}; `nvidia-smi` must show that version or a later one"


def weights_of(plan: TrainingPlan) -> int:
    """Weights of the base, from its config.json."""
    return sum(map(math.prod, published_shapes(plan.shape()).values()))
