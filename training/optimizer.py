"""AdamW over the adapter, with the two rates of LoRA+."""

from __future__ import annotations

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


def make_optimizer(adapted: Any, method: Method, config: MethodConfig, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over the adapter; for LoRA+ two groups whose rates differ by `config.ratio`, decayed alike.

    Every group carries its peak rate as `initial_lr`, which the schedule multiplies.
    """
    rate = config.learning_rate if config.learning_rate is not None else train.learning_rate
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
