"""A fresh adapter on a frozen base: what peft puts on the projections, and how each method starts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapters.base import layout_of, quantise, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.forms import HOLDERS, peft_config
from adapters.methods import Method
from adapters.starts.by_peft import StartRows, peft_factors
from adapters.starts.factors import Factors, residual
from adapters.starts.pissa import cached_factors, divide_scaling

INITIAL_SEED = 2106_09685  # of LoRA's random A, apart from the seed of data and noise


@dataclass(frozen=True)
class Adapted:
    """A peft model around the frozen base, and what was taken out of the base's weights: the initial factors as they
    stand in A and B (scaling divided out); None where the base is whole.
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
    rows: StartRows | None = None,
) -> Adapted:
    """Put a fresh adapter on an unquantised base, and quantise the base where `model` says so.

    The order matters where the adapter starts as a part of the weight and the base is quantised: decomposition in
    float32 first, quantisation of the residual after, one weight after the other. EVA sees the base as it is trained
    on. Adapter weights are float32 whatever the base's type.

    Args:
        base: from `load_unquantised`; changed in place (the residual is left in it).
        cache: folder of the initial factors.
        seed: of the random parts.
        rows: needed where `method.reads_rows`.

    Raises:
        InputError: the rank is larger than a weight or the rows allow, or does not fit GraLoRA's blocks.
        ValueError: the model does not have the targets once per block, or rows are missing.
    """
    modules = target_modules(base, config.targets)
    factors: Factors | None = None
    if method.start == "pissa":
        factors = cached_factors(modules, config.rank, config.svd_iterations, cache, progress)
        factors = divide_scaling(factors, method.scaling(config))
    elif method.leaves_residual:
        factors = peft_factors(base, modules, method, config, cache, rows)
    del modules  # which would keep every weight that is quantised
    _leave_residuals(base, model, factors or {}, method.scaling(config))
    if method.start == "eva":
        factors = peft_factors(base, target_modules(base, config.targets), method, config, cache, rows)
    adapted = wrap(base, method, config, seed)
    if factors is not None:
        with torch.no_grad():
            for name, (A, B) in factors.items():
                layer = adapted.get_base_model().get_submodule(name)
                layer.lora_A["default"].weight.copy_(A)
                layer.lora_B["default"].weight.copy_(B)
    return Adapted(adapted, factors if method.leaves_residual else None)


def _leave_residuals(base: Any, model: ModelConfig, initial: Factors, scaling: float) -> None:
    """Take the adapter's start out of the weights of these names, and quantise the base where `model` says so."""

    def residual_of(name: str, weight: Tensor) -> Tensor:
        if name not in initial:
            return weight
        A, B = (factor.to(weight.device) for factor in initial[name])
        return residual(weight, A, B, scaling)

    if model.quantization != "none":
        quantise(base, model, starting=residual_of)
        return
    for name in initial:
        weight = base.get_submodule(name).weight
        weight.data.copy_(residual_of(name, weight))


def wrap(base: Any, method: Method, config: MethodConfig, seed: int) -> Any:
    """The peft model with a plain start (A random from `seed`, B = 0)."""
    from peft import get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(seed + INITIAL_SEED)
        adapted = get_peft_model(base, peft_config(method, config, layout_of(base)))
    assert_adapted(adapted, config)
    if method.weight_decomposed:
        for layer in adapted_layers(adapted).values():
            layer.register_forward_hook(_in_the_type_of_the_input)
    return adapted


def _in_the_type_of_the_input(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    # DoRA's magnitude is float32. On a quantised base under CUDA's autocast peft leaves the layer's output in that
    # type, and everything after it takes twice the memory.
    return output.to(inputs[0].dtype)


def assert_adapted(adapted: Any, config: MethodConfig) -> None:
    """One adapter per target and block, none on the head, in float32, and nothing else trainable.

    Raises:
        ValueError: otherwise.
    """
    layers = adapted_layers(adapted)
    base = adapted.get_base_model()
    expected = base.config.num_hidden_layers * len(set(config.targets))
    if len(layers) != expected:
        raise ValueError(f"{len(layers)} modules carry an adapter, expected {expected}")
    outside = [name for name in layers if not name.startswith(f"{layout_of(base).blocks}.")]
    if outside:
        raise ValueError(f"adapters outside the blocks: {', '.join(outside)}")
    for name, parameter in adapted.named_parameters():
        ours = any(f".{holder}." in name for holder in HOLDERS)
        if parameter.requires_grad and not (ours and parameter.dtype == torch.float32):
            raise ValueError(f"{name} is trainable as {parameter.dtype}; only float32 adapters may be")


def adapted_layers(adapted: Any) -> dict[str, Any]:
    """The peft layers by the name of the projection they wrap, in model order."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = adapted.get_base_model()
    return {name: module for name, module in base.named_modules() if isinstance(module, BaseTunerLayer)}
