"""AdamW over the adapter, with the two rates of LoRA+, and the schedule of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from adapters.config import MethodConfig
from adapters.methods import Method
from training.config import TrainConfig


def optimizer_class(train: TrainConfig) -> tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]:
    """The optimizer's class and its extra arguments. Paged state moves to host memory under pressure (CUDA)."""
    if train.optimizer == "adamw":
        return torch.optim.AdamW, {"fused": True}
    import bitsandbytes as bnb

    return (bnb.optim.AdamW8bit if train.optimizer == "adamw_8bit" else bnb.optim.PagedAdamW8bit), {}


def peak_rate(config: MethodConfig, train: TrainConfig) -> float:
    """The method's own rate, else that of the optimisation."""
    return train.learning_rate if config.learning_rate is None else config.learning_rate


def make_optimizer(adapted: Any, method: Method, config: MethodConfig, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over the adapter; for LoRA+ two groups whose rates differ by `config.ratio`, decayed alike.

    Every group carries its peak rate as `initial_lr`, which the schedule multiplies.
    """
    rate = peak_rate(config, train)
    cls, arguments = optimizer_class(train)
    if method.loraplus:
        from peft.optimizers import create_loraplus_optimizer

        optimizer = create_loraplus_optimizer(
            adapted,
            cls,  # type: ignore[arg-type]
            lr=rate,
            loraplus_lr_ratio=config.ratio,
            loraplus_weight_decay=train.weight_decay,  # a plain weight_decay is dropped by peft without a word
            **arguments,
        )
        # peft also makes groups for embeddings and biases, which are empty here.
        optimizer.param_groups = [group for group in optimizer.param_groups if group["params"]]
    else:
        parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        optimizer = cls(parameters, lr=rate, weight_decay=train.weight_decay, **arguments)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: Any, step: int, total: int, train: TrainConfig) -> None:
    """Give every group its rate for optimizer step `step` of `total`."""
    factor = schedule(step, total, train)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def schedule(step: int, total: int, train: TrainConfig) -> float:
    """The factor on the peak rate at optimizer step `step` of `total`: linear warm-up, then constant or a cosine to
    zero.
    """
    warmup = round(train.warmup_fraction * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if train.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
