"""Writes that are whole or absent, and readable for whom the umask says."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputError
from common.files import (
    atomic_folder,
    atomic_path,
    read_json,
    read_json_lines,
    recover,
    sha256_of_json,
    write_json,
    write_json_lines,
)
from common.locks import turn


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


@pytest.mark.parametrize("text", ["x\u2028y", "x\u2029y", "x\x85y", "x\x0b\x0c\x1cy", "x\ry\r\nz"])
def test_json_lines_end_at_a_line_feed_alone(tmp_path: Path, text: str) -> None:
    write_json_lines(tmp_path / "rows.jsonl", [{"a": text}, {"a": "next"}])
    assert read_json_lines(tmp_path / "rows.jsonl") == [{"a": text}, {"a": "next"}]


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5_000, "{", "\xff"])
def test_json_that_python_cannot_take_is_a_fault_of_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "facts.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"facts\.json: not valid JSON"):
        read_json(tmp_path / "facts.json")


def killed_in(target: Path, place: str) -> None:
    """Replace the folder in another process, which is killed at `place`, a call of os or shutil's."""
    program = f"""
import os, shutil, signal, sys
from pathlib import Path
from common.files import atomic_folder
target = Path({str(target)!r})
renames = []
def watched(name, call):
    def wrapper(*arguments, **options):
        renames.append(name)
        if "{place}" == f"{{name}} {{renames.count(name)}}":
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapper
os.rename, shutil.rmtree = watched("rename", os.rename), watched("rmtree", shutil.rmtree)
with atomic_folder(target) as folder:
    (folder / "content").write_text("new")
    "{place}" == "writing" and os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", program], check=False)
    assert result.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("place", "there", "after"),
    [("writing", "old", "old"), ("rename 1", "old", "old"), ("rename 2", None, "old"), ("rmtree 1", "new", "new")],
)
def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, place: str, there: str | None, after: str
) -> None:
    target = tmp_path / "adapter"
    with atomic_folder(target) as folder:
        (folder / "content").write_text("old")
    killed_in(target, place)
    assert (target / "content").read_text() == there if there else not target.exists()
    recover(target)
    assert (target / "content").read_text() == after
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_another_process_is_writing_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    with atomic_folder(target) as ours:
        with atomic_folder(target) as theirs:
            (theirs / "content").write_text("theirs")
        recover(target)
        (ours / "content").write_text("ours")
    assert (target / "content").read_text() == "ours"
    (tmp_path / ".adapter-notes").touch()  # a user's own
    recover(target)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", ".adapter-notes"}


def test_a_folder_never_takes_a_files_place(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_text("mine")
    with pytest.raises(NotADirectoryError), atomic_folder(tmp_path / "adapter"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_link_in_the_targets_place_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / "adapter").symlink_to(tmp_path / "elsewhere")
    with atomic_folder(tmp_path / "adapter") as folder:
        (folder / "new").touch()
    assert (tmp_path / "adapter" / "new").exists()
    assert (tmp_path / "elsewhere" / "kept").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", "elsewhere"}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.EPERM, errno.ENOTSUP, errno.EACCES])
def test_a_file_system_without_fsync_of_folders_and_without_modes_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("fsync", "chmod"):
        monkeypatch.setattr(os, name, refuse)
    write_json(tmp_path / "facts.json", {"rows": 3})
    with atomic_folder(tmp_path / "adapter") as folder:
        (folder / "content").touch()
    assert (tmp_path / "adapter" / "content").exists()
    assert read_json(tmp_path / "facts.json") == {"rows": 3}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_failing_or_full_disk_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_json(tmp_path / "facts.json", {"rows": 3})
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with turn(tmp_path / "locks" / "select", "busy", patience=0):
        write_json(tmp_path / "facts.json", {"rows": 3})


def test_two_of_one_kind_take_turns_or_one_is_told(tmp_path: Path) -> None:
    place = tmp_path / "locks" / "select"
    with turn(place, "busy"), pytest.raises(InputError, match="busy"), turn(place, "busy", patience=0):
        pass
    with turn(place, "busy", patience=0):
        pass


def test_json_holds_lone_surrogates_as_escapes(tmp_path: Path) -> None:
    value = {"a": "x\ud800y 👩 é"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "👩 é" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert sha256_of_json(value) != sha256_of_json({"a": "xy 👩 é"})
