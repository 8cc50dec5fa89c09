"""A fault is one line of at most 300 characters, whatever the user gave; the machine's errors are the user's too."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from common.errors import LONGEST, InputError, in_words


@pytest.mark.parametrize(
    "value", ["x" * 10_000, "x y " * 5_000, "a\nb\r\nc", "\x1b[31mred", "\ud800", "\u2028", "日" * 999]
)
def test_a_fault_is_one_short_line_whatever_the_value(value: str) -> None:
    [fault] = InputError(f"--set: data.source: {value!s} is not there; give a folder").faults
    assert len(fault) <= LONGEST
    assert fault.isprintable()
    assert fault.startswith("--set: data.source: ")
    assert fault.endswith("is not there; give a folder")
    fault.encode("utf-8")


def test_the_cure_stays_whole_where_only_a_value_is_long() -> None:
    path = "/data/" + "x" * 400
    [fault] = InputError(f"{path}: not there yet; run `python -m pipeline inputs --profile mini` first").faults
    assert fault.endswith(": not there yet; run `python -m pipeline inputs --profile mini` first")
    assert fault.startswith("/data/xxx")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on"), (errno.EDQUOT, "no space left on"), (errno.EACCES, "not allowed"),
        (errno.EROFS, "cannot be written"), (errno.ENAMETOOLONG, "too long"), (errno.ENOTDIR, "a file stands where"),
        (errno.EISDIR, "a folder stands where"), (errno.ELOOP, "in a circle"), (errno.ENOENT, "no such file"),
        (errno.EIO, "the disk failed"), (errno.EMFILE, "too many open files"), (errno.ENFILE, "too many open files"),
        (errno.EFBIG, "no space left on"), (errno.EPERM, "not allowed"), (errno.EEXIST, "a file stands where"),
        (errno.ESTALE, "the file server has lost it"), (errno.EBUSY, "another program holds it"),
        (errno.ETIMEDOUT, "does not answer"),
    ],
)  # fmt: skip
def test_the_machines_errors_name_place_and_cure(number: int, words: str, tmp_path: Path) -> None:
    told = in_words(OSError(number, os.strerror(number), str(tmp_path / "rows.parquet")))
    assert told is not None
    assert words in told
    assert str(tmp_path) in told


def test_a_full_disk_is_known_in_a_librarys_wrapping_too() -> None:
    wrapped = RuntimeError("writer failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "no space left on" in (in_words(wrapped) or "")
    assert "no space left on" in (in_words(RuntimeError("I/O error: No space left on device (os error 28)")) or "")


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert in_words(ValueError("shapes differ")) is None
    assert in_words(OSError("something without a number")) is None
    assert in_words(KeyError("rows")) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://budi:rahasia@hub.example/x: refused", "https://…@hub.example/x: refused"),
        ("the hub said hf_abcdefghijklmnopqrst is wrong", "the hub said … is wrong"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("key sk-abcdefghijklmnopqrst", "key …"),
        ("https://hub.example/a@b and hf_hub", "https://hub.example/a@b and hf_hub"),
    ],
)
def test_no_secret_stands_in_an_error(text: str, shown: str) -> None:
    assert str(InputError(text)) == shown
