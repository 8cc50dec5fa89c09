"""Faults of a training run that its user can cure, said in words: a loss that is not finite, memory that is not
there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from common.errors import InputError
from training.config import TrainConfig


def check_finite(loss: float, norm: float, step: int, rows: Sequence[str], settings: dict[str, Any]) -> None:
    """Stop before the optimizer sees a loss or a gradient that is NaN or infinite.

    Raises:
        InputError: naming the step, the rows and the settings that matter.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = "loss" if not math.isfinite(loss) else "gradient"
    value = loss if not math.isfinite(loss) else norm
    shown = ", ".join(rows[:4]) + (f" and {len(rows) - 4} more" if len(rows) > 4 else "")
    values = ", ".join(f"{key}={value}" for key, value in settings.items())
    raise InputError(
        f"the {what} is {value} at step {step + 1} on rows {shown} ({values}); "
        "lower the learning rate, or take model.dtype float32 or bfloat16 if it is float16"
    )


@contextmanager
def explain_out_of_memory(train: TrainConfig, checkpointing: bool, quantization: str) -> Iterator[None]:
    """Turn CUDA's out-of-memory error into the knobs that help and by how much.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak = torch.cuda.max_memory_allocated() / 2**30
        free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info())
        cures = []
        if train.micro_batch_size > 1:
            half = train.micro_batch_size // 2
            cures.append(f"train.micro_batch_size: {half} (now {train.micro_batch_size}; about half the activations)")
        if not checkpointing:
            cures.append("model.activation_checkpointing: true (activations shrink about 13-fold, a third slower)")
        if quantization == "none":
            cures.append("model.quantization: nf4 (the base shrinks to about 36% of bfloat16)")
        if train.optimizer != "paged_adamw_8bit":
            cures.append("train.optimizer: paged_adamw_8bit (a quarter of the optimizer's memory, paged to the host)")
        raise InputError(
            f"CUDA is out of memory: {peak:.1f} GiB were in use at the peak, {free:.1f} of {total:.1f} GiB are free "
            f"({str(error).splitlines()[0]})\n  what helps, best first: " + "; ".join(cures)
        ) from None
