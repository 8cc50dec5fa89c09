"""The tensors of a checkpoint folder, read one at a time from its files."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from common.files import read_json

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """One tensor on disk."""

    name: str
    file: Path
    bytes: int

    def read(self) -> Tensor:
        """The tensor, mapped from the file: its pages are read when they are touched.

        The file is opened for this tensor alone: an open file stays mapped, and its pages count as this process's
        memory. Clone what is to be kept.
        """
        with safe_open(self.file, framework="pt") as stream:
            return stream.get_tensor(self.name)


def stored_tensors(folder: Path) -> list[Stored]:
    """Every tensor of a folder in the published layout, one file or shards, in the order of its files.

    Raises:
        llada.errors.CheckpointError: the folder is no complete checkpoint of this network.
    """
    from llada.network.checkpoint import check_folder

    check_folder(folder)
    single = folder / "model.safetensors"
    names = [single.name] if single.is_file() else sorted(set(read_json(folder / INDEX)["weight_map"].values()))
    return [Stored(name, folder / file, size) for file in names for name, size in _sizes(folder / file)]


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Names and bytes from a safetensors header: eight bytes of length, then JSON with the offsets."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    entries = ((name, entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__")
    for name, (start, end) in sorted(entries, key=lambda entry: entry[1]):
        yield name, end - start
