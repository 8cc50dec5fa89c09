"""The adaptation methods: one entry each, all of them peft LoRA on a frozen base.

| name | what is different | source |
|---|---|---|
| lora | B = 0, A random, one learning rate | Hu et al. 2021, arXiv 2106.09685 |
| loraplus | B learns `ratio` times as fast as A | Hayou et al. 2024, arXiv 2402.12354 |
| pissa | A and B start as the principal part of the weight | Meng et al. 2024, arXiv 2404.02948 |
| rslora | update scaled by alpha / sqrt(rank) | Kalajdzievski 2023, arXiv 2312.03732 |
| dora | magnitude and direction of the weight apart | Liu et al. 2024, arXiv 2402.09353 |
| loraplus_pissa | the start of PiSSA, the rates of LoRA+ | what the original Indonesian study ran |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from adapters.base import quantise, target_modules, target_pattern
from adapters.config import MethodConfig, ModelConfig, TrainConfig
from adapters.pissa import Factors, cached_factors, divide_scaling, residual
from common.errors import InputError

INITIAL_SEED = 2106_09685  # of LoRA's random A, apart from the seed of data and noise


@dataclass(frozen=True)
class Method:
    """What distinguishes one method from plain LoRA."""

    title: str
    loraplus: bool = False
    pissa: bool = False
    rank_stabilised: bool = False
    weight_decomposed: bool = False

    def scaling(self, config: MethodConfig) -> float:
        """The factor on B A: alpha / rank, or alpha / sqrt(rank) where rank-stabilised."""
        alpha = lora_alpha(config)
        return alpha / (math.sqrt(config.rank) if self.rank_stabilised else config.rank)


METHODS: dict[str, Method] = {
    "lora": Method("LoRA"),
    "loraplus": Method("LoRA+", loraplus=True),
    "pissa": Method("PiSSA", pissa=True),
    "rslora": Method("rsLoRA", rank_stabilised=True),
    "dora": Method("DoRA", weight_decomposed=True),
    "loraplus_pissa": Method("LoRA+ with PiSSA", loraplus=True, pissa=True),
}


def lora_alpha(config: MethodConfig) -> float:
    return float(config.rank) if config.alpha is None else config.alpha


def method_named(name: str) -> Method:
    """Raises InputError, naming the methods there are, for a name that is none of them."""
    if name not in METHODS:
        raise InputError(f"--method {name}: unknown method; one of {', '.join(METHODS)}")
    return METHODS[name]


@dataclass(frozen=True)
class Adapted:
    """A peft model around the frozen base, and PiSSA's initial factors as they stand in A and B (scaling divided
    out).
    """

    model: Any  # peft.PeftModel
    initial: Factors | None


def attach(
    base: Any,
    method: Method,
    config: MethodConfig,
    model: ModelConfig,
    cache: Path,
    seed: int,
    progress: bool = True,
) -> Adapted:
    """Put a fresh adapter on an unquantised base, and quantise the base after it where `model` says so.

    The order matters for PiSSA on a quantised base: decomposition in float32 first, quantisation of the residual after.
    Adapter weights are float32 whatever the base's type.

    Args:
        base: from `load_unquantised`; changed in place (PiSSA leaves the residual in it).
        cache: folder of PiSSA's factors.
        seed: of LoRA's random A.

    Raises:
        InputError: the rank is larger than a weight allows.
        ValueError: the model does not have the targets once per block.
    """
    modules = target_modules(base, config.targets)
    initial: Factors | None = None
    if method.pissa:
        factors = cached_factors(modules, config.rank, config.svd_iterations, cache, progress)
        scaling = method.scaling(config)
        initial = divide_scaling(factors, scaling)
        for name, module in modules.items():
            weight = cast(Tensor, module.weight)
            weight.data.copy_(residual(weight, *initial[name], scaling))
    quantise(base, model)
    adapted = wrap(base, method, config, seed)
    if initial is not None:
        with torch.no_grad():
            for name, (A, B) in initial.items():
                layer = adapted.get_base_model().get_submodule(name)
                layer.lora_A["default"].weight.copy_(A)
                layer.lora_B["default"].weight.copy_(B)
    return Adapted(adapted, initial)


def wrap(base: Any, method: Method, config: MethodConfig, seed: int) -> Any:
    """The peft model with a plain start (A random from `seed`, B = 0)."""
    from peft import get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(seed + INITIAL_SEED)
        adapted = get_peft_model(base, lora_config(method, config))
    assert_adapted(adapted, config)
    if method.weight_decomposed:
        for layer in adapted_layers(adapted).values():
            layer.register_forward_hook(_in_the_type_of_the_input)
    return adapted


def _in_the_type_of_the_input(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    # DoRA's magnitude is float32. On a quantised base under CUDA's autocast peft leaves the layer's output in that
    # type, and everything after it takes twice the memory.
    return output.to(inputs[0].dtype)


def lora_config(method: Method, config: MethodConfig) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=lora_alpha(config),  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=config.dropout,
        use_rslora=method.rank_stabilised,
        use_dora=method.weight_decomposed,
        target_modules=target_pattern(config.targets),
        bias="none",
    )


def assert_adapted(adapted: Any, config: MethodConfig) -> None:
    """One adapter per target and block, none on the head, in float32, and nothing else trainable.

    Raises:
        ValueError: otherwise.
    """
    layers = adapted_layers(adapted)
    expected = adapted.get_base_model().config.n_layers * len(set(config.targets))
    if len(layers) != expected:
        raise ValueError(f"{len(layers)} modules carry an adapter, expected {expected}")
    outside = [name for name in layers if ".blocks." not in name]
    if outside:
        raise ValueError(f"adapters outside the blocks: {', '.join(outside)}")
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and ("lora_" not in name or parameter.dtype != torch.float32):
            raise ValueError(f"{name} is trainable as {parameter.dtype}; only float32 adapters may be")


def adapted_layers(adapted: Any) -> dict[str, nn.Module]:
    """The peft LoRA layers by the name of the projection they wrap, in model order."""
    base = adapted.get_base_model()
    return {name: module for name, module in base.named_modules() if hasattr(module, "lora_A")}


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
