"""An adapter as a GGUF file that llama.cpp adds to a GGUF of the base while it runs (`--lora`), without a merge.

llama.cpp computes W x + (alpha / R) B (A x), R from the shape of B, and knows neither rsLoRA's alpha / sqrt(R) nor
DoRA nor HiRA. So alpha is written as s R, with s the scaling of `adapters.update`; DoRA and HiRA are refused. Names are
those of its architecture `llada`, with `.lora_a` (R, in) and `.lora_b` (out, R).

The network here rotates dimension i of a head together with i + d/2, llama.cpp 2i together with 2i + 1, so the rows of
q_proj and k_proj are in another order there, and with them those of their B: per head 0, d/2, 1, d/2 + 1, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from adapters.lineage import check_base, read_run
from adapters.update import LowRank, read_adapter
from common.errors import InputError
from common.files import atomic_path
from llada.network.checkpoint import published_shapes, read_config
from llada.network.configuration import LLaDAConfig

ARCHITECTURE = "llada"


def write_gguf(*, adapter: Path, base: Path, base_sha256: str, output: Path) -> int:
    """Write an adapter in float32; returns the number of weights that it changes.

    Args:
        adapter: a folder as the trainer writes it.
        base: the base's folder, of which only `config.json` is read. base_sha256: as in inputs.json.

    Raises:
        InputError: no adapter, DoRA or HiRA, one of another base, an output that exists, or no package gguf.
        llada.errors.CheckpointError: the base's config.json is missing or damaged.
    """
    try:
        import gguf  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError("gguf is not installed; run `pip install --editable '.[gguf]'`") from None
    if output.exists() or output.suffix != ".gguf":
        raise InputError(f"--output {output}: {'exists already' if output.exists() else 'no name of a .gguf file'}")
    check_base(adapter, base, base_sha256)
    updates = read_adapter(adapter)
    config = _config(base)
    _check(adapter, updates, config)
    [scaled_rank] = {update.scaling * update.A.shape[0] for update in updates.values()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLADA, config.n_layers)
    with atomic_path(output) as temporary:
        writer = gguf.GGUFWriter(temporary, ARCHITECTURE)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(f"{read_run(adapter).title} adapter")
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, scaled_rank)
        for name, update in updates.items():
            stored = names.get_name(name, try_suffixes=(".weight",))
            writer.add_tensor(f"{stored}.lora_a", _array(update.A))
            writer.add_tensor(f"{stored}.lora_b", _array(update.B[_order(name, config)]))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return len(updates)


def _config(base: Path) -> LLaDAConfig:
    config = read_config(base)
    if config.model_type != ARCHITECTURE:
        raise InputError(f"{base}: a base of the kind {config.model_type}; llama.cpp has only {ARCHITECTURE} of ours")
    return config


def _check(adapter: Path, updates: Mapping[str, LowRank], config: LLaDAConfig) -> None:
    shapes = published_shapes(config)
    for name, update in updates.items():
        if update.magnitude is not None or update.times_weight:
            kind = "HiRA" if update.times_weight else "DoRA"
            raise InputError(
                f"{adapter}: {kind} has no GGUF form; merge it (`python -m pipeline merge`) and convert that"
            )
        if shapes.get(name) != tuple(update.shape):
            raise InputError(f"{adapter}: changes {name} {list(update.shape)}, which this base does not have")


def _order(name: str, config: LLaDAConfig) -> slice | np.ndarray:
    """Which row of a weight comes where in llama.cpp: see above; every other weight keeps its order."""
    heads = {"q_proj": config.n_heads, "k_proj": config.n_kv_heads}.get(name.split(".")[-2])
    if heads is None:
        return slice(None)
    return np.arange(heads * config.head_dim).reshape(heads, 2, config.head_dim // 2).swapaxes(1, 2).reshape(-1)


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.numpy(), dtype=np.float32)
