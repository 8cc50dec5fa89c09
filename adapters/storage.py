"""Adapters on disk: plain peft LoRA on the *original* base, whatever the method, under the published key names.

PiSSA trains A and B on the residual W - s B0 A0. On the untouched base the same function is the LoRA of rank 2R with
A' = [A; A0] and B' = [B, -B0], because B' A' = B A - B0 A0 (Meng et al. 2024, section 3). Saved like this, an adapter
needs no residual model, no decomposition at load, and can be switched off to give the base back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapters.attach import adapted_layers, lora_config, wrap
from adapters.base import quantised_linear, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS, Method, lora_alpha
from adapters.pissa import Factors, residual
from common.errors import InputError
from common.files import read_json

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."  # peft's, before the base's own names


def trainable_tensors(adapted: Any) -> dict[str, Tensor]:
    """The adapter's parameters by name, as they are (not copies)."""
    return {name: parameter for name, parameter in adapted.named_parameters() if parameter.requires_grad}


def set_trainable(adapted: Any, tensors: Mapping[str, Tensor]) -> None:
    """Copy stored tensors into the adapter's parameters.

    Raises:
        ValueError: the names differ.
    """
    parameters = trainable_tensors(adapted)
    if parameters.keys() != tensors.keys():
        raise ValueError(f"adapter tensors differ: {sorted(parameters.keys() ^ tensors.keys())[:4]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def save_adapter(
    folder: Path,
    adapted: Any,
    tensors: Mapping[str, Tensor],
    method: Method,
    config: MethodConfig,
    initial: Factors | None,
    base_name: str | None,
) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` of these trained tensors into an existing folder.

    Args:
        tensors: names as in `trainable_tensors`, values from any moment of the training.
        initial: PiSSA's A0 and B0 as they stood in the layers at step 0; None for the other methods.
        base_name: what adapter_config.json names as the base: a hub id, or None.
    """
    plain = plain_tensors(tensors, initial)
    written = lora_config(method, config)
    written.base_model_name_or_path = base_name
    written.inference_mode = True
    if initial is not None:  # rank and alpha double together, so that the scaling stays
        written.r, written.lora_alpha = 2 * config.rank, 2 * lora_alpha(config)
    expected = len(adapted_layers(adapted)) * (3 if method.weight_decomposed else 2)
    if len(plain) != expected:
        raise ValueError(f"{len(plain)} adapter tensors to save, expected {expected}")
    save_file(plain, folder / WEIGHTS, metadata={"format": "pt"})
    written.save_pretrained(folder)


def plain_tensors(tensors: Mapping[str, Tensor], initial: Factors | None) -> dict[str, Tensor]:
    """Trained tensors under the keys that peft reads, PiSSA's turned into LoRA of rank 2R on the original base."""
    plain = {}
    for name, value in tensors.items():
        tensor = value.detach().cpu()
        if initial is not None:
            A0, B0 = (factor.cpu() for factor in initial[_module_name(name)])
            tensor = torch.cat([tensor, A0], dim=0) if ".lora_A." in name else torch.cat([tensor, -B0], dim=1)
        plain[file_key(name)] = tensor.contiguous()
    return plain


def file_key(name: str) -> str:
    """The parameter's key in an adapter's file: without the adapter's name, DoRA's magnitude without ".weight"."""
    return name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector").replace(".default", "")


def missing_files(folder: Path) -> list[str]:
    """A message for each file that an adapter folder must have and this one has not."""
    return [
        f"{folder / file}: no such file; train the adapter first"
        for file in (CONFIG, WEIGHTS)
        if not (folder / file).is_file()
    ]


def load_adapter(model: Any, folder: Path | str, name: str = "default") -> Any:
    """Put a saved adapter on a base from `load_base` and return the peft model, in eval mode, adapter active.

    `model` may also be what an earlier call returned: then the adapter is one more on the same base, and
    `set_adapter(name)` chooses between them (unless `replaces_base`).

    On an unquantised base this is `peft.PeftModel.from_pretrained`. A PiSSA adapter that was trained on a quantised
    base saw the quantised *residual*; loaded onto a base quantised the same way, the residual is made and quantised
    again from the original weights in the folder that the base was loaded from (transformers keeps it as
    `model.name_or_path`), which gives exactly the model that was trained (the base is changed in place).

    Raises:
        InputError: no adapter in the folder, or a damaged one.
        ValueError: the adapter does not fit the base.
    """
    folder = Path(folder)
    if faults := missing_files(folder):
        raise InputError(faults)
    trained_on = _quantised_pissa(folder)
    if trained_on is not None and replaces_base(model, folder):
        return _load_on_residual(model, folder, trained_on)
    from peft import PeftModel

    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=name)
            model.set_adapter(name)
            return model.eval()
        return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS}: damaged ({error}); train the adapter again") from None


def replaces_base(model: Any, folder: Path) -> bool:
    """Does loading this adapter put the quantised residual in the base's place, so that nothing else can share it?"""
    trained_on = _quantised_pissa(folder)
    return trained_on is not None and _quantization(model) == trained_on.quantization


def _quantization(model: Any) -> str:
    if getattr(model, "is_loaded_in_4bit", False):
        return "nf4"
    return "int8" if getattr(model, "is_loaded_in_8bit", False) else "none"


def _quantised_pissa(folder: Path) -> ModelConfig | None:
    """The model section under which a PiSSA adapter on a quantised base was trained; None for every other adapter."""
    if not (folder / "run.json").is_file():
        return None
    run = read_json(folder / "run.json")
    method = METHODS.get(run.get("method", ""))
    model = ModelConfig(**run["settings"]["model"]) if method is not None and method.pissa else None
    return model if model is not None and model.quantization != "none" else None


def _load_on_residual(model: Any, folder: Path, trained_on: ModelConfig) -> Any:
    run = read_json(folder / "run.json")
    method, config = METHODS[run["method"]], MethodConfig(**run["settings"]["method"])
    scaling, rank = method.scaling(config), config.rank
    saved = load_file(folder / WEIGHTS)
    originals = _original_weights(Path(model.name_or_path), list(target_modules(model, config.targets)))
    trained: dict[str, Tensor] = {}
    for name, weight in originals.items():
        key = f"{PREFIX}{name}"
        A, A0 = saved[f"{key}.lora_A.weight"].split(rank, dim=0)
        B, minus_B0 = saved[f"{key}.lora_B.weight"].split(rank, dim=1)
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        device = getattr(owner, child).weight.device
        weight = weight.to(getattr(torch, trained_on.dtype))
        setattr(owner, child, quantised_linear(residual(weight, A0, -minus_B0, scaling), trained_on, device))
        trained |= {f"{key}.lora_A.default.weight": A, f"{key}.lora_B.default.weight": B}
    adapted = wrap(model, method, config, seed=0)
    set_trainable(adapted, trained)
    adapted.requires_grad_(False)
    return adapted.eval()


def _original_weights(folder: Path, names: list[str]) -> dict[str, Tensor]:
    wanted = {f"{name}.weight": name for name in names}
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stream:
            for key in wanted.keys() & set(stream.keys()):
                weights[wanted[key]] = stream.get_tensor(key)
    if len(weights) != len(names):
        raise InputError(f"{folder}: {len(names) - len(weights)} of the weights that this adapter needs are not there")
    return {name: weights[name] for name in names}


def _module_name(parameter: str) -> str:
    """`base_model.model.X.lora_A.default.weight` -> `X`."""
    return parameter.removeprefix(PREFIX).partition(".lora_")[0]
