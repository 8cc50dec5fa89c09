"""Adapters on disk: plain peft LoRA on the *original* base, whatever the method, under the published key names.

PiSSA trains A and B on the residual W - s B0 A0. On the untouched base the same function is the LoRA of rank 2R with
A' = [A; A0] and B' = [B, -B0], because B' A' = B A - B0 A0 (Meng et al. 2024, section 3). Saved like this, an adapter
needs no residual model, no decomposition at load, and can be switched off to give the base back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapters.attach import adapted_layers, lora_config, wrap
from adapters.base import quantised_linear, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.lineage import RETRAIN, read_run
from adapters.methods import METHODS, Method, lora_alpha
from adapters.pissa import Factors, residual
from adapters.stored import CONFIG, PREFIX, WEIGHTS, check_adapter, missing_files, read_tensors, stored_shapes
from common.errors import InputError
from common.files import inside, write_json
from common.records import Record, read_record
from llada.network.configuration import CONFIGS
from llada.network.published import title_of

COMMON = (
    "base_model_name_or_path",
    "bias",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "peft_type",
    "r",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
)
"""Fields of adapter_config.json that are always written; peft has had them all since 0.9."""


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
    base_revision: str | None = None,
) -> None:
    """Write `adapter_model.safetensors` and `adapter_config.json` of these trained tensors into an existing folder.

    Args:
        tensors: names as in `trainable_tensors`, values from any moment of the training.
        initial: PiSSA's A0 and B0 as they stood in the layers at step 0; None for the other methods.
        base_name: what adapter_config.json names as the base: a hub id, or None. base_revision: its commit.
    """
    plain = plain_tensors(tensors, initial)
    written = lora_config(method, config, adapted.get_base_model().config.layout)
    written.base_model_name_or_path = base_name
    written.revision = base_revision
    written.task_type = "CAUSAL_LM"  # for peft's AutoPeftModelForCausalLM
    written.inference_mode = True
    if initial is not None:  # rank and alpha double together, so that the scaling stays
        written.r, written.lora_alpha = 2 * config.rank, 2 * lora_alpha(config)
    expected = len(adapted_layers(adapted)) * (3 if method.weight_decomposed else 2)
    if len(plain) != expected:
        raise ValueError(f"{len(plain)} adapter tensors to save, expected {expected}")
    save_file(plain, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, config_content(written))


def config_content(config: Any) -> dict[str, Any]:
    """What adapter_config.json says of a LoraConfig: what every version of peft knows, and what is not the default.

    peft itself writes every field of its own version, and an older version refuses a field that it does not know.
    """
    from peft import LoraConfig

    defaults = LoraConfig().to_dict()
    fields = {key: value for key, value in config.to_dict().items() if key in COMMON or value != defaults[key]}
    return {key: fields[key] for key in sorted(fields)}


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


def file_key(name: str, adapter: str = "default") -> str:
    """The parameter's key in an adapter's file: without the adapter's name, DoRA's magnitude without ".weight"."""
    magnitude = f".lora_magnitude_vector.{adapter}.weight"
    return name.replace(magnitude, ".lora_magnitude_vector").replace(f".{adapter}.weight", ".weight")


def load_adapter(model: Any, folder: Path | str, name: str = "default") -> Any:
    """Put a saved adapter on a base from `load_base` and return the peft model, in eval mode, adapter active.

    `model` may also be what an earlier call returned: then the adapter is one more on the same base, and
    `set_adapter(name)` chooses between them (unless `replaces_base`).

    On an unquantised base this is `peft.PeftModel.from_pretrained`. A PiSSA adapter that was trained on a quantised
    base saw the quantised *residual*; loaded onto a base quantised the same way, the residual is made and quantised
    again from the original weights in the folder that the base was loaded from (transformers keeps it as
    `model.name_or_path`), which gives exactly the model that was trained (the base is changed in place).

    Raises:
        InputError: no adapter in the folder, a damaged one, or one that does not fit the base.
    """
    folder = Path(folder)
    if faults := missing_files(folder):
        raise InputError(faults)
    refuse_another_kind(model, folder, stored_shapes(inside(folder, WEIGHTS)))
    check_adapter(folder, model)
    trained_on = _quantised_pissa(folder)
    if trained_on is not None and replaces_base(model, folder):
        try:
            return _load_on_residual(model, folder, trained_on)
        except (KeyError, ValueError) as error:
            raise InputError(f"{folder / WEIGHTS}: does not fit run.json ({error}); train the adapter again") from None
    from peft import PeftModel

    stored = read_tensors(folder).keys()
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=name)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{folder}: does not load as an adapter of this base ({reason}); train it again") from None
    placed = {file_key(key, name) for key, _ in model.named_parameters() if ".lora_" in key and f".{name}" in key}
    if astray := sorted(placed ^ stored):
        raise InputError(f"{folder / CONFIG}: its targets and the layers of {WEIGHTS} differ, first in {astray[0]}")
    return model.eval()


def refuse_another_kind(network: Any, folder: Path, tensors: Collection[str]) -> None:
    """Raises InputError, naming both bases, where an adapter's tensors are for a base of the other kind."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    here = inner.config
    for kind, config in CONFIGS.items():
        if kind != here.model_type and any(key.startswith(f"{PREFIX}{config.layout.blocks}.") for key in tensors):
            name = read_run(folder).base.name
            raise InputError(
                f"{folder}: an adapter of {title_of(kind)}{f' ({name})' if name else ''}, and this base is "
                f"{title_of(here.model_type)} ({inner.name_or_path}); use the base it was trained on, or train it again"
            )


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
    run = read_record(folder / "run.json", _Run, RETRAIN)
    method = METHODS.get(run.method)
    model = run.settings.model if method is not None and method.pissa else None
    return model if model is not None and model.quantization != "none" else None


class _Settings(Record):
    model: ModelConfig = ModelConfig.model_validate({})
    method: MethodConfig = MethodConfig.model_validate({})


class _Run(Record):
    method: str = ""
    settings: _Settings = _Settings()


def _load_on_residual(model: Any, folder: Path, trained_on: ModelConfig) -> Any:
    run = read_record(folder / "run.json", _Run, RETRAIN)
    method, config = METHODS[run.method], run.settings.method
    scaling, rank = method.scaling(config), config.rank
    saved = read_tensors(folder)
    originals = _original_weights(Path(model.name_or_path), list(target_modules(model, config.targets)))
    trained: dict[str, Tensor] = {}
    for name, weight in originals.items():
        key = f"{PREFIX}{name}"
        A, A0 = saved[f"{key}.lora_A.weight"].split(rank, dim=0)
        B, minus_B0 = saved[f"{key}.lora_B.weight"].split(rank, dim=1)
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        device = getattr(owner, child).weight.device
        weight = weight.to(device, getattr(torch, trained_on.dtype))  # as the training did, to the last bit
        rest = residual(weight, A0.to(device), -minus_B0.to(device), scaling)
        setattr(owner, child, quantised_linear(rest, trained_on, device))
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
