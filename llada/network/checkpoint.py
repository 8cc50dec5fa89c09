"""Is a checkpoint folder whole and meant for this network? Asked before loading, from the headers alone.

transformers initialises what a checkpoint lacks at random, with a warning; here that is an error. The check reads
the safetensors headers (a few kilobytes), not the weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from llada.errors import CheckpointError
from llada.network.configuration import LLaDAConfig, config_class

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
LARGEST_HEADER = 16 << 20  # of a safetensors file; LLaDA-8B's have 30 KB
_SHOWN = 4


def published_shapes(config: LLaDAConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the published layout with its shape; not a tied head, which is no tensor of its own."""
    D, V, M = config.d_model, config.embedding_size, config.mlp_hidden_size
    kv = config.n_kv_heads * config.head_dim
    parts = {
        "attn_norm": (D,),
        "ff_norm": (D,),
        "q_proj": (D, D),
        "k_proj": (kv, D),
        "v_proj": (kv, D),
        "attn_out": (D, D),
        "ff_proj": (M, D),
        "up_proj": (M, D),
        "ff_out": (D, M),
    }
    layout = config.layout
    shapes: dict[str, tuple[int, ...]] = {f"{layout.embedding}.weight": (V, D), f"{layout.norm}.weight": (D,)}
    if not config.weight_tying:
        shapes[f"{layout.head}.weight"] = (V, D)
    for layer in range(config.n_layers):
        shapes |= {f"{layout.part(layer, name)}.weight": shape for name, shape in parts.items()}
    return shapes


def check_folder(folder: Path, config: LLaDAConfig | None = None) -> None:
    """Check that `folder` holds a config and complete safetensors weights for it.

    Args:
        folder: a local checkpoint, one file or shards with an index.
        config: in place of the folder's `config.json`.

    Raises:
        CheckpointError: what is wrong, naming the file; all misfits of the tensors at once.
    """
    if config is None:
        config = read_config(folder)
    actual = _stored_shapes(folder)
    if config.n_layers > len(actual):
        raise CheckpointError(
            f"{folder}: config.json says n_layers {config.n_layers}, and there are {len(actual)} tensors"
        )
    if getattr(config, "quantization_config", None) is not None:
        return  # stored quantised: packed shapes and extra state, transformers checks them as it unpacks
    expected, head = published_shapes(config), f"{config.layout.head}.weight"
    if config.weight_tying and head in actual:
        expected[head] = expected[f"{config.layout.embedding}.weight"]
    faults = _misfits(actual, expected)
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CheckpointError(f"{folder}: the weights do not fit config.json: {'; '.join(faults[:_SHOWN])}{more}")


def stored_dtype(folder: Path) -> torch.dtype | None:
    """The type that all weights of a checkpoint folder have, from the headers of its files; None where they differ,
    have another type than float32, bfloat16 and float16, or cannot be read, of which loading them then tells.
    """
    found = set()
    try:
        for path in folder.glob("*.safetensors"):
            with safe_open(str(path), framework="pt") as file:
                found |= {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError):
        return None
    return _TYPES.get(found.pop()) if len(found) == 1 else None


def check_loading(source: str, info: Any) -> None:
    """Turn what transformers would only warn about (its loading info) into an error; for weights that come from a hub.

    Raises:
        CheckpointError: tensors were missing, superfluous or misshapen.
    """
    report = info if isinstance(info, dict) else vars(info)
    faults = []
    for field in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        items = sorted(str(item) for item in report.get(field) or ())
        if items:
            faults.append(f"{field.replace('_', ' ')}: {', '.join(items[:_SHOWN])} ({len(items)} in all)")
    if faults:
        raise CheckpointError(f"{source}: the weights do not fit the config: {'; '.join(faults)}")


def read_config(folder: Path) -> LLaDAConfig:
    """The configuration of a checkpoint folder, of the class that its `model_type` names.

    Raises:
        CheckpointError: no config.json, a damaged one, or one that this network does not implement; a line per fault.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; expected a checkpoint with config.json and safetensors")
    path = folder / "config.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; a checkpoint folder holds config.json and safetensors") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    try:
        return config_class(fields)(**fields)
    except (TypeError, ValueError) as error:
        raise CheckpointError("\n".join(f"{path}: {fault}" for fault in str(error).splitlines())) from None


def _stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    if (folder / _SINGLE).is_file():
        return _header(folder / _SINGLE)
    if (folder / _INDEX).is_file():
        return _sharded_shapes(folder)
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise CheckpointError(
            f"{folder}: only pickled weights ({pickled[0]}), which are not loaded because unpickling runs code; "
            "convert them to safetensors"
        )
    raise CheckpointError(f"{folder}: no weights; expected {_SINGLE}, or shards with {_INDEX}")


def _sharded_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    path = folder / _INDEX
    try:
        placed: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(placed.values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not an index with a weight_map ({error!r})") from None
    astray = [shard for shard in shards if not isinstance(shard, str) or Path(shard).name != shard]
    if astray:
        raise CheckpointError(f"{path}: {astray[0]!r} is no file of this folder")
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: shards named in {_INDEX} are missing: {', '.join(missing[:_SHOWN])}; download again"
        )
    headers = {shard: _header(folder / shard) for shard in shards}
    astray = sorted(key for key, shard in placed.items() if key not in headers[shard])
    if astray:
        raise CheckpointError(
            f"{folder / placed[astray[0]]}: lacks {', '.join(astray[:_SHOWN])}, which {_INDEX} places there"
        )
    return {key: shape for header in headers.values() for key, shape in header.items()}


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    with path.open("rb") as stream:  # where it does not open, the system says why; safetensors would not
        length = int.from_bytes(stream.read(8), "little")
    try:
        if length > LARGEST_HEADER:
            raise SafetensorError(f"its header has {length:,} bytes")
        with safe_open(str(path), framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"{path}: damaged or truncated safetensors file of {size} bytes ({error}); download it again"
        ) from None


def _misfits(actual: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> list[str]:
    faults = [f"{key} is missing" for key in sorted(expected.keys() - actual.keys())]
    faults += [
        f"{key} has shape {list(actual[key])} instead of {list(expected[key])}"
        for key in sorted(expected.keys() & actual.keys())
        if actual[key] != expected[key]
    ]
    return faults + [f"{key} is not part of this network" for key in sorted(actual.keys() - expected.keys())]


def keep_nf4_differentiable(model: nn.Module) -> None:
    """Forbid bitsandbytes to repack NF4 weights for its CPU inference kernel at the first forward in eval mode.

    It never packs them back, that kernel has no gradient (training after a validation would learn nothing, without
    an error), and the packed weights are saved as if they were not (version 0.50).
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
