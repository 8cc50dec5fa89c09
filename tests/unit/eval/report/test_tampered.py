"""Every file that the report reads, edited or damaged: one sentence with the cure, or a report all the same."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from tests.support import report as planted
from tests.support.report import STANDARD

FILES = (
    "evaluation/base/metrics.json",
    "evaluation/lora/metrics.json",
    "evaluation/lora/trace.json",
    "evaluation/lora/accounting.json",
    "evaluation/lora/items.jsonl",
    "adapters/lora/run.json",
    "adapters/lora/curve.csv",
    "sweep/sweep.json",
    "scale/scale.json",
    "reversal/reversal.json",
    "select.json",
    "cluster.json",
    "leakage.json",
    "format.json",
    "umap.parquet",
    "splits/test.parquet",
)
WHOLE = ("", "null", "[]", "3", '"text"', "{}", "{", "[" * 100_000, "NaN", '[{"a": []}]', "\x00\xff", "a,b\n1,2,3\n")
VALUES: tuple[Any, ...] = (None, [], {}, 3, -1, "text", True, 1e300, float("nan"), [[[]]])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    planted.write_planted_report(folder, STANDARD[:2], count=6, points=12)
    return folder


def faults(root: Path) -> tuple[str, ...]:
    """What stops the report from being written; nothing where it is written."""
    try:
        planted.report_of(root, STANDARD[:2])
    except InputError as error:
        return error.faults
    return ()


def refused_or_written(root: Path) -> None:
    for fault in (said := faults(root)):
        assert len(said) == 1
        assert "run `" in fault
        assert str(root) in fault


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_shape_is_one_sentence(root: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(root, tmp_path / "copy")
    for text in WHOLE:
        (folder / name).write_text(text, encoding="latin-1")
        refused_or_written(folder)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside, of lists the first entry alone."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value[:1]))
    for key, one in inner if isinstance(value, dict | list) else ():
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, (*path, key))


def changed(content: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    content = copy.deepcopy(content)
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return content


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith((".json", ".jsonl"))])
def test_a_value_of_another_kind_is_one_sentence(root: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(root, tmp_path / "copy")
    lines = (root / name).read_text(encoding="utf-8")
    first, rest = lines.split("\n", 1) if name.endswith("l") else (lines, "")
    content = json.loads(first)
    ways = list(places(content))
    for number, way in enumerate(ways[:: max(1, len(ways) // 20)]):
        value = VALUES[number % len(VALUES)]

        def replace(parent: Any, key: Any, value: Any = value) -> None:
            parent[key] = value

        def remove(parent: Any, key: Any) -> None:
            del parent[key]

        for change in (replace, remove):
            text = json.dumps(changed(content, way, change))
            (folder / name).write_text(f"{text}\n{rest}", encoding="utf-8")
            try:
                refused_or_written(folder)
            except Exception as error:
                raise AssertionError(f"{name}: {'.'.join(map(str, way))}: {change.__name__} {value!r}") from error
