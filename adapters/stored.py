"""What is read of an adapter's folder, checked before anything is loaded: adapters come from strangers.

The sizes stand in the header of the weights, a few kilobytes; rank, targets and shapes are held against it and against
the base before peft builds a single module. No link leads out of the folder, no pattern takes long, and no feature is
taken that imports code, changes the base or trains other parts of it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from adapters.lineage import RETRAIN
from common.errors import InputError, raise_if_unreadable
from common.files import inside, read_json
from common.records import Record, as_record

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."  # peft's, before the base's own names
LARGEST_CONFIG, LARGEST_HEADER = 1 << 20, 8 << 20
_TAKEN = frozenset((
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "hira_dropout", "inference_mode", "lora_alpha",
    "lora_dropout", "peft_type", "peft_version", "r", "rank_pattern", "revision", "target_modules", "task_type",
    "use_dora", "use_rslora",
))  # fmt: skip
"""Fields of which every value is taken or refused by name; of all others the default. `auto_mapping` is not read."""
_NOTHING: tuple[Any, ...] = (None, False, "", [], {}, 0)
_KEY = re.compile(
    r"base_model\.model\.(?P<module>[\w.]+)\."
    r"(?P<part>lora_A\.weight|lora_B\.weight|lora_magnitude_vector|hira_A|hira_B)"
)

_KEY_OF_A = re.compile(r"\.(lora_A\.weight|hira_A)$")


class StoredConfig(Record):
    """What adapter_config.json says, as far as it decides what the adapter computes."""

    peft_type: str
    r: int = Field(ge=1)
    lora_alpha: float | None = Field(None, gt=0, allow_inf_nan=False)
    use_rslora: bool = False
    use_dora: bool = False
    target_modules: str | list[str]
    rank_pattern: dict[str, Any] | None = None
    alpha_pattern: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _lora_is_scaled(self) -> Self:
        if self.peft_type == "LORA" and self.lora_alpha is None:
            raise ValueError("lora_alpha is missing")
        return self

    @property
    def scaling(self) -> float:
        """The factor on B A; 1 for HiRA, which has none."""
        if self.peft_type != "LORA" or self.lora_alpha is None:
            return 1.0
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)

    def names(self, module: str) -> bool:
        """Is the module among the targets: matched by the pattern, or one of the names, or ending in one?"""
        if isinstance(self.target_modules, str):
            return re.fullmatch(self.target_modules, module) is not None
        return any(module == name or module.endswith(f".{name}") for name in self.target_modules)

    @field_validator("target_modules", "rank_pattern", "alpha_pattern")
    @classmethod
    def _patterns_are_quick(cls, value: Any) -> Any:
        for pattern in [value] if isinstance(value, str) else value or []:
            _check_pattern(str(pattern))
        return value


def read_config(folder: Path) -> StoredConfig:
    """adapter_config.json; raises InputError where it is damaged, of another shape, or asks for what is not taken."""
    path = inside(folder, CONFIG, LARGEST_CONFIG)
    content = read_json(path, RETRAIN)
    if isinstance(content, dict):
        _refuse_other_features(path, content)
    return as_record(path, content, StoredConfig, RETRAIN)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The adapter's weights, finite floats; raises InputError where the file is damaged or holds something else."""
    path = inside(folder, WEIGHTS)
    stored_shapes(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise_if_unreadable(path, error)
        raise InputError(f"{path}: damaged ({error}); train the adapter again") from None
    wrong = [name for name, tensor in tensors.items() if not tensor.is_floating_point() or not tensor.isfinite().all()]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} does not hold finite numbers; train the adapter again")
    return tensors


def missing_files(folder: Path) -> list[str]:
    """A message for each file that an adapter folder must have and this one has not."""
    return [
        f"{folder / file}: no such file; train the adapter first"
        for file in (CONFIG, WEIGHTS)
        if not (folder / file).is_file()
    ]


def check_adapter(folder: Path, model: Any) -> None:
    """Hold the folder against the model that it is to be put on, from the header of the weights alone.

    Raises:
        InputError: damaged, of another shape, or not an adapter of this model.
    """
    config, path = read_config(folder), inside(folder, WEIGHTS)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    modules: dict[str, Any] = dict(base.named_modules())
    ranks = {config.r, *(value for value in (config.rank_pattern or {}).values() if isinstance(value, int))}
    stored = stored_shapes(path)
    largest = max((shape[0] for key, shape in stored.items() if _KEY_OF_A.search(key) and shape), default=0)
    if max(ranks) > largest:
        raise InputError(
            f"{path}: its largest rank is {largest}, but {CONFIG} says {max(ranks)}; train the adapter again"
        )
    for key, shape in stored.items():
        found = _KEY.fullmatch(key)
        module = modules.get(found["module"]) if found else None
        if found is None or module is None or not hasattr(module, "in_features"):
            raise InputError(f"{path}: {key}: no projection of this base; it belongs to another one")
        wide, high = int(module.in_features), int(module.out_features)
        expected = {
            "A": {(rank, wide) for rank in ranks},
            "B": {(high, rank) for rank in ranks},
            "magnitude_vector": {(high,)},
        }[found["part"].removesuffix(".weight").partition("_")[2]]
        if shape not in expected:
            fit = " or ".join(str(list(one)) for one in sorted(expected))
            raise InputError(f"{path}: {key} has shape {list(shape)}, expected {fit} by {CONFIG} and the base")


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a safetensors file, from its header, whose size is looked at first.

    Raises:
        InputError: not a safetensors file, or a header that is longer than any adapter's.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(LARGEST_HEADER, path.stat().st_size - 8):
                raise ValueError(f"its header has {length:,} bytes")
            header = json.loads(stream.read(length))
        return {
            key: tuple(int(size) for size in about["shape"]) for key, about in header.items() if key != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); train the adapter again") from None


def _refuse_other_features(path: Path, content: Mapping[str, Any]) -> None:
    from peft import HiraConfig, LoraConfig

    defaults = (HiraConfig if content.get("peft_type") == "HIRA" else LoraConfig)().to_dict()
    for key, value in content.items():
        harmless = value in _NOTHING or (key, value) == ("init_lora_weights", "gaussian")
        if key in _TAKEN or harmless or (key in defaults and value == defaults[key]):
            continue
        raise InputError(
            f"{path}: {key}: {value!r}: not taken; what is read is plain LoRA, DoRA or HiRA on projections, and the "
            "default of everything else"
        )


def _check_pattern(pattern: str) -> None:
    """Raises ValueError for a regular expression that is none, or could take long on a name of a module."""
    if len(pattern) > 2000 or len(re.findall(r"[*+{]", pattern)) > 4 or re.search(r"\)[*+{]", pattern):
        raise ValueError("a pattern of more than 4 repetitions, or of a repeated group, could take very long")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression ({error})") from None
