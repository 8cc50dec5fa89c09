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
from training.validation import Validation


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


def check_validation(validation: Validation, rows: Sequence[str], step: int, settings: dict[str, Any]) -> None:
    """Stop at a validation that is NaN or infinite; before the first step it is not the training's fault.

    Args:
        rows: ids of the validated rows.

    Raises:
        InputError: naming a row and what helps.
    """
    bad = list(validation.not_finite)
    if not bad:
        return
    others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    where = f"validation row {rows[bad[0]]}{others}"
    dtype, values = settings["dtype"], ", ".join(f"{key}={value}" for key, value in settings.items())
    if step:
        raise InputError(f"the loss is not finite on {where} after step {step} ({values}); lower the learning rate")
    cure = "take model.dtype bfloat16 or float32" if dtype == "float16" else "check the base's weights (inputs)"
    raise InputError(
        f"the base gives nan or infinity on {where} before training (model.dtype={dtype}, "
        f"model.quantization={settings['quantization']}); {cure}"
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
            [
                f"CUDA is out of memory: {peak:.1f} GiB were in use at the peak, {free:.1f} of {total:.1f} GiB are "
                f"free ({str(error).splitlines()[0]}); what helps, best first:",
                *cures,
            ]
        ) from None
