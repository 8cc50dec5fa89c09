"""A file that the system does not let us read is never called damaged: the cure is another one."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from adapters.starts.factors import cached
from adapters.stored import read_tensors, stored_shapes
from common.errors import InputError, in_words, raise_if_unreadable
from data_prep.inputs.reading import text_rows
from data_prep.inputs.row_files import check_rows
from data_prep.rows.tables import refuse_unreadable
from eval.report.write import read_points, split_sizes
from llada.network.checkpoint import check_folder, read_config
from tests.support.small_world import small_model
from training.batching import read_rows


@contextmanager
def no_more_files() -> Iterator[None]:
    """A process that may open no further file: what a busy server or a leak makes of the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest + 1, before[1]), before[1]))
    held = []
    try:
        while True:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def adapter(folder: Path) -> Path:
    folder.mkdir()
    save_file({"base_model.model.x.lora_A.weight": torch.ones(2, 3)}, folder / "adapter_model.safetensors")
    return folder


def split(folder: Path) -> Path:
    path = folder / "train.parquet"
    pq.write_table(pa.table({"id": ["a"], "input_ids": [[1, 2]], "prompt_length": [1]}), path)
    return path


def rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({"input": "a", "output": "b"}), encoding="utf-8")
    return path


def points(folder: Path) -> Path:
    path = folder / "umap.parquet"
    pq.write_table(pa.table({"id": ["a"], "x": [1.0], "y": [1.0], "cluster": [0]}), path)
    return path


def base(folder: Path) -> Path:
    small_model().save_pretrained(folder / "base")
    return folder / "base"


def factors(folder: Path) -> tuple[dict[str, torch.nn.Module], Path]:
    modules: dict[str, torch.nn.Module] = {"x": torch.nn.Linear(3, 2)}
    computed = {"x": (torch.ones(1, 3), torch.ones(2, 1))}
    cached(modules, {"key": 1}, folder, "PiSSA", lambda: computed)
    return modules, folder


def take_factors(made: tuple[dict[str, torch.nn.Module], Path]) -> Any:
    def compute() -> Any:
        raise AssertionError("computed again although the file is whole")

    return cached(made[0], {"key": 1}, made[1], "PiSSA", compute)


Door = tuple[Callable[[Path], Any], Callable[[Any], Any]]
DOORS: dict[str, Door] = {
    "an adapter's weights": (lambda folder: adapter(folder / "a"), read_tensors),
    "an adapter's header": (
        lambda folder: adapter(folder / "a"),
        lambda made: stored_shapes(made / "adapter_model.safetensors"),
    ),
    "a formatted split": (split, read_rows),
    "rows of JSON lines": (rows, lambda path: list(text_rows(path, ["input"]))),
    "rows in parquet": (split, lambda path: check_rows([path], {"input": "id", "output": "id"}, path.parent / "out")),
    "a table that daft could not read": (split, lambda path: refuse_unreadable([path], ValueError("daft"))),
    "the map": (points, read_points),
    "the sizes of the splits": (split, lambda path: split_sizes(path.parent)),
    "a base's shards": (base, lambda folder: check_folder(folder, read_config(folder))),
    "PiSSA's cache": (factors, take_factors),
}


@pytest.mark.parametrize("name", DOORS)
def test_too_many_open_files_are_not_a_damaged_file(tmp_path: Path, name: str) -> None:
    make, take = DOORS[name]
    made = make(tmp_path)
    with suppress(InputError):
        take(made)  # whatever it imports on its way is there now
    with no_more_files(), pytest.raises(OSError, match="Too many open files") as caught:
        take(made)
    assert caught.value.errno == errno.EMFILE
    assert "too many open files; raise the limit" in str(in_words(caught.value))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM])
def test_a_library_that_met_a_fault_of_the_machine_passes_it_on(tmp_path: Path, number: int) -> None:
    path = split(tmp_path)
    with pytest.raises(OSError, match=path.name) as caught:
        raise_if_unreadable(path, OSError(number, "the library's own words"))
    assert str(in_words(caught.value)).startswith(str(path))


def test_a_file_that_opens_is_left_to_the_caller(tmp_path: Path) -> None:
    raise_if_unreadable(split(tmp_path), ValueError("not a parquet file"))
