"""Resumable training state: safetensors and JSON, whole or absent, verified by hash when it is read.

    <run>/step-00000100/
        state.json             step, best validation so far, the curve up to here, the optimizer's scalars
        adapter.safetensors    the trainable weights
        optimizer.safetensors  the optimizer's tensors
        best.safetensors       the trainable weights at the best validation, where there was one
        manifest.json          sha256 and size of each of the above

A checkpoint is written into a temporary folder, flushed, and renamed, so that a kill at any moment leaves it whole or
absent. Nothing random is stored: batches, noise and dropout are pure functions of (seed, step).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.errors import InputError, raise_if_unreadable
from common.files import atomic_folder, read_json, sha256_of_file, write_json
from common.progress import console

FORMAT = 1
_NAME = re.compile(r"step-(\d{8})")


@dataclass
class Checkpoint:
    """Everything the next step depends on, besides the settings and the data."""

    step: int
    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]  # a torch or bitsandbytes optimizer's state_dict()
    best: dict[str, Tensor] | None = None
    progress: dict[str, Any] = field(default_factory=dict)  # JSON


class State(BaseModel):
    """state.json."""

    model_config = ConfigDict(strict=True, extra="forbid")
    format: int
    step: int = Field(ge=0)
    optimizer: dict[str, Any]
    progress: dict[str, Any]


class FileFacts(BaseModel):
    """What manifest.json says of a file."""

    sha256: str
    bytes: int


_MANIFEST = TypeAdapter(dict[str, FileFacts])


def save_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `run/step-<step>` atomically, then delete all but the newest `keep` checkpoints."""
    target = run / f"step-{checkpoint.step:08d}"
    tensors: dict[str, Tensor] = {}
    skeleton = flatten(checkpoint.optimizer, tensors)
    with atomic_folder(target) as folder:
        save_file(_storable(checkpoint.adapter), folder / "adapter.safetensors")
        save_file(_storable(tensors), folder / "optimizer.safetensors")
        if checkpoint.best is not None:
            save_file(_storable(checkpoint.best), folder / "best.safetensors")
        write_json(
            folder / "state.json",
            {"format": FORMAT, "step": checkpoint.step, "optimizer": skeleton, "progress": checkpoint.progress},
        )
        files = sorted(path for path in folder.iterdir() if path.is_file())
        write_json(
            folder / "manifest.json",
            {path.name: {"sha256": sha256_of_file(path), "bytes": path.stat().st_size} for path in files},
        )
    for _, old in list_checkpoints(run)[keep:]:
        shutil.rmtree(old)
    return target


def load_newest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint of a run, or None. Each damaged one is named on stderr and passed over."""
    for step, folder in list_checkpoints(run):
        fault = damage(folder)
        if fault is None:
            try:
                return load_checkpoint(folder)
            except (ValueError, KeyError, TypeError, FileNotFoundError, SafetensorError) as error:
                for path in folder.iterdir():
                    raise_if_unreadable(path, error)
                fault = f"not what a training writes: {' '.join(str(error).split())[:160]}"
        console.print(f"checkpoint {folder} is damaged ({fault}); trying the one before step {step}")
    return None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint without verifying it; `damage` does that."""
    state = State.model_validate(read_json(folder / "state.json"))
    best = folder / "best.safetensors"
    return Checkpoint(
        step=state.step,
        adapter=load_file(folder / "adapter.safetensors"),
        optimizer=unflatten(state.optimizer, load_file(folder / "optimizer.safetensors")),
        best=load_file(best) if best.exists() else None,
        progress=state.progress,
    )


def list_checkpoints(run: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint folder of a run, newest first."""
    checkpoints = []
    if run.is_dir():
        for path in run.iterdir():
            if match := _NAME.fullmatch(path.name):
                checkpoints.append((int(match[1]), path))
    return sorted(checkpoints, reverse=True)


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None: every file named in the manifest is there, of its size and hash."""
    try:
        manifest = _MANIFEST.validate_python(read_json(folder / "manifest.json"))
        state = read_json(folder / "state.json")
    except (InputError, NotADirectoryError, IsADirectoryError) as error:
        return str(error)
    except ValidationError:
        return "manifest.json is not what a training writes"
    if "state.json" not in manifest:
        return "manifest.json lists no state.json"
    for name, facts in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != facts.bytes:
            return f"{name} has {path.stat().st_size} bytes instead of {facts.bytes}"
        if sha256_of_file(path) != facts.sha256:
            return f"{name} does not match its sha256"
    found = state.get("format") if isinstance(state, dict) else None
    return None if found == FORMAT else f"format {found} instead of {FORMAT}"


def remove_leftovers(run: Path) -> None:
    """Delete the temporary folders that a kill left behind. Only the holder of the run's lock may call this."""
    if run.is_dir():
        for path in run.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)


def flatten(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """Split nested state into JSON and tensors: each tensor goes to `tensors` under its path, a marker stays behind.

    Dictionaries become lists of [key, value], because optimizers use integers as keys; tuples are marked as such.

    Raises:
        TypeError: a value that is neither a tensor, a container nor a JSON scalar.
    """
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"items": [[key, flatten(item, tensors, f"{path}/{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [flatten(item, tensors, f"{path}/{index}") for index, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(f"optimizer state {path}: cannot store a {type(value).__name__}")


def unflatten(skeleton: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`."""
    ((kind, content),) = skeleton.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: unflatten(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [unflatten(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory: bitsandbytes uses one quantisation map for every parameter."""
    return {name: torch.empty_like(t, device="cpu").copy_(t.detach()).contiguous() for name, t in tensors.items()}
