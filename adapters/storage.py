"""Adapters on disk: plain peft LoRA on the *original* base wherever that is exact, under the published key names.

A method that starts as a part of the weight (PiSSA, OLoRA, CorDA, LoRA-GA) trains A and B on the residual W - s B0 A0.
On the untouched base the same function is the LoRA of rank 2R with A' = [A; A0] and B' = [B, -B0], because B' A' =
B A - B0 A0 (Meng et al. 2024, section 3). Saved like this, an adapter needs no residual model, no decomposition at
load, and can be switched off to give the base back. MiSS and GraLoRA are LoRA too (`adapters.forms`); HiRA alone is
not, and is kept as peft's HiRA.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapters.attach import adapted_layers, wrap
from adapters.base import layout_of, quantised_linear, target_modules
from adapters.config import MethodConfig, ModelConfig
from adapters.forms import lora_of_gralora, lora_of_miss, parts_of, stored_config
from adapters.lineage import RETRAIN, note_tail, read_run
from adapters.methods import METHODS, Method
from adapters.starts.factors import Factors, residual
from adapters.stored import (
    CONFIG,
    PREFIX,
    WEIGHTS,
    check_adapter,
    missing_files,
    read_config,
    read_tensors,
    stored_shapes,
)
from common.errors import InputError
from common.files import inside, write_json
from common.records import Record, read_record
from common.systems import TWIN
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
        initial: A0 and B0 as they stood in the layers at step 0, where the base keeps the residual; else None.
        base_name: what adapter_config.json names as the base: a hub id, or None. base_revision: its commit.
    """
    layers = adapted_layers(adapted)
    if len(tensors) != len(layers) * len(parts_of(method)):
        raise ValueError(f"{len(tensors)} tensors to save of {len(layers)} layers, {len(parts_of(method))} of each")
    inputs = {name: int(layer.in_features) for name, layer in layers.items()}
    plain = plain_tensors(tensors, method, initial, inputs)
    written = stored_config(method, config, layout_of(adapted.get_base_model()))
    written.base_model_name_or_path = base_name
    written.revision = base_revision
    written.task_type = "CAUSAL_LM"  # for peft's AutoPeftModelForCausalLM
    written.inference_mode = True
    save_file(plain, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, config_content(written))


def config_content(config: Any) -> dict[str, Any]:
    """What adapter_config.json says of a peft config: what every version of peft knows, and what is not the default.

    peft itself writes every field of its own version, and an older version refuses a field that it does not know.
    """
    defaults = type(config)().to_dict()
    fields = {key: value for key, value in config.to_dict().items() if key in COMMON or value != defaults[key]}
    return {key: fields[key] for key in sorted(fields)}


def plain_tensors(
    tensors: Mapping[str, Tensor], method: Method, initial: Factors | None, inputs: Mapping[str, int]
) -> dict[str, Tensor]:
    """Trained tensors under the keys that peft reads: as LoRA on the original base, or as HiRA.

    Args:
        inputs: width of each adapted layer's input, by the layer's name.
    """
    own = {file_key(name): value.detach().cpu() for name, value in tensors.items()}
    if method.form not in ("miss", "gralora"):
        if initial is not None:
            own = {key: _with_start(key, value, initial) for key, value in own.items()}
        return {key: value.contiguous() for key, value in own.items()}
    plain: dict[str, Tensor] = {}
    for name, width in inputs.items():
        key = f"{PREFIX}{name}"
        if method.form == "miss":
            A, B = lora_of_miss(own[f"{key}.miss_block"], width)
        else:
            A, B = lora_of_gralora(own[f"{key}.gralora_A"], own[f"{key}.gralora_B"])
        plain |= {f"{key}.lora_A.weight": A, f"{key}.lora_B.weight": B}
    return plain


def _with_start(key: str, value: Tensor, initial: Factors) -> Tensor:
    A0, B0 = (factor.cpu() for factor in initial[_module_name(key)])
    return torch.cat([value, A0], dim=0) if ".lora_A." in key else torch.cat([value, -B0], dim=1)


def file_key(name: str, adapter: str = "default") -> str:
    """The parameter's key in an adapter's file: without the adapter's name, DoRA's magnitude without ".weight"."""
    magnitude = f".lora_magnitude_vector.{adapter}.weight"
    key = name.replace(magnitude, ".lora_magnitude_vector").replace(f".{adapter}.weight", ".weight")
    return key.removesuffix(f".{adapter}")


def load_adapter(model: Any, folder: Path | str, name: str = "default") -> Any:
    """Put a saved adapter on a base from `load_base` and return the peft model, in eval mode, adapter active.

    `model` may also be what an earlier call returned: then the adapter is one more on the same base, and
    `set_adapter(name)` chooses between them (unless `needs_own_base`).

    On an unquantised base this is `peft.PeftModel.from_pretrained`. An adapter that started as a part of the weight
    (PiSSA, OLoRA) and was trained on a quantised base saw the quantised *residual*; loaded onto a base quantised the
    same way, the residual is made and quantised again from the original weights in the folder that the base was loaded
    from (transformers keeps it as `model.name_or_path`), which gives exactly the model that was trained (the base is
    changed in place).

    Raises:
        InputError: no adapter in the folder, a damaged one, or one that does not fit the base.
    """
    folder = Path(folder)
    if faults := missing_files(folder):
        raise InputError(faults)
    refuse_another_kind(model, folder, stored_shapes(inside(folder, WEIGHTS)))
    check_adapter(folder, model)
    note_tail(model.get_base_model() if hasattr(model, "get_base_model") else model, folder)
    trained_on = _quantised_residual(folder)
    if trained_on is not None and _replaces_base(model, folder):
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
    placed = {
        file_key(key, name)
        for key, _ in model.named_parameters()
        if (".lora_" in key or ".hira_" in key) and f".{name}" in key
    }
    if astray := sorted(placed ^ stored):
        raise InputError(f"{folder / CONFIG}: its targets and the layers of {WEIGHTS} differ, first in {astray[0]}")
    return model.eval()


def refuse_another_kind(network: Any, folder: Path, tensors: Collection[str]) -> None:
    """Raises InputError, naming both bases, where an adapter's tensors are for a base of the other kind."""
    inner = network.get_base_model() if hasattr(network, "get_base_model") else network
    here = inner.config
    for kind, config in CONFIGS.items():
        if config.layout.blocks == layout_of(inner).blocks:
            continue  # names alone do not tell iLLaDA from Llama; the hash of the base does (`adapters.lineage`)
        if kind != here.model_type and any(key.startswith(f"{PREFIX}{config.layout.blocks}.") for key in tensors):
            name = read_run(folder).base.name
            raise InputError(
                f"{folder}: an adapter of {title_of(kind)}{f' ({name})' if name else ''}, and this base is "
                f"{title_of(here.model_type)} ({inner.name_or_path}); use the base it was trained on, or train it again"
            )


def needs_own_base(model: Any, folder: Path) -> bool:
    """Can no other adapter share the base with this one? It puts the quantised residual in the base's place, or it is
    of a kind that peft does not keep beside LoRA.
    """
    return _replaces_base(model, folder) or (not missing_files(folder) and read_config(folder).peft_type != "LORA")


def _replaces_base(model: Any, folder: Path) -> bool:
    trained_on = _quantised_residual(folder)
    return trained_on is not None and _quantization(model) == trained_on.quantization


def _quantization(model: Any) -> str:
    if getattr(model, "is_loaded_in_4bit", False):
        return "nf4"
    return "int8" if getattr(model, "is_loaded_in_8bit", False) else "none"


def _quantised_residual(folder: Path) -> ModelConfig | None:
    """The model section under which an adapter was trained on a quantised residual; None for every other adapter."""
    if not (folder / "run.json").is_file():
        return None
    run = read_record(folder / "run.json", _Run, RETRAIN)
    method = METHODS.get(run.method.removeprefix(TWIN))
    model = run.settings.model if method is not None and method.leaves_residual else None
    return model if model is not None and model.quantization != "none" else None


class _Settings(Record):
    model: ModelConfig = ModelConfig.model_validate({})
    method: MethodConfig = MethodConfig.model_validate({})


class _Run(Record):
    method: str = ""
    settings: _Settings = _Settings()


def _load_on_residual(model: Any, folder: Path, trained_on: ModelConfig) -> Any:
    run = read_record(folder / "run.json", _Run, RETRAIN)
    method, config = METHODS[run.method.removeprefix(TWIN)], run.settings.method
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
    """`base_model.model.X.lora_A.weight` -> `X`."""
    return parameter.removeprefix(PREFIX).partition(".lora_")[0]
