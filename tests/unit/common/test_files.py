"""Writes that are whole or absent, and readable for whom the umask says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputError
from common.files import atomic_folder, atomic_path, read_json, read_json_lines, write_json, write_json_lines


@pytest.fixture
def shared() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("shared")
def test_what_is_written_may_be_read_by_the_group(tmp_path: Path) -> None:
    write_json(tmp_path / "facts.json", {"rows": 3})
    with atomic_folder(tmp_path / "adapter") as folder:
        save_file({"A": torch.zeros(2)}, folder / "weights.safetensors")
    assert mode(tmp_path / "facts.json") == 0o640
    assert mode(tmp_path / "adapter") == 0o750
    assert mode(tmp_path / "adapter" / "weights.safetensors") == 0o640


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "facts.json"
    write_json(target, {"rows": 3})

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_json(target) == {"rows": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]


def test_a_folder_replaces_the_old_one_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    with atomic_folder(target) as folder:
        (folder / "old").write_text("1")

    def fail() -> None:
        with atomic_folder(target) as folder:
            (folder / "new").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in target.iterdir()] == ["old"]
    with atomic_folder(target) as folder:
        (folder / "new").write_text("2")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_json_refuses_what_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "facts.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json_lines(tmp_path / "rows.jsonl", [{"teks": "Ibu kota"}, {"teks": "é"}])
    assert read_json_lines(tmp_path / "rows.jsonl") == [{"teks": "Ibu kota"}, {"teks": "é"}]
    (tmp_path / "torn.json").write_text('{"rows": ')
    with pytest.raises(InputError, match=r"torn\.json: not valid JSON .*; run `make it`"):
        read_json(tmp_path / "torn.json", made_by="make it")
    with pytest.raises(InputError, match=r"none\.json: no such file; run `make it`"):
        read_json(tmp_path / "none.json", made_by="make it")
