"""Files that are either whole or absent: written beside the target under a temporary name, flushed, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.progress import track

MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model")
"""Endings of what decides what a model computes: weights, settings, tokenizer."""


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it replaces `target`, on any exception it is removed.

    The temporary name keeps the suffix, because writers such as numpy append one where it is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        flush_to_disk(temporary)
        temporary.replace(target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it replaces `target`, on any exception it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        yield temporary
        umask = _umask()
        temporary.chmod(0o777 & ~umask)
        for path in temporary.rglob("*"):
            if path.is_file():
                path.chmod(path.stat().st_mode | 0o666 & ~umask)  # safetensors writes for the owner alone
                flush_to_disk(path)
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
        flush_to_disk(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Force a file's content, or a folder's names, to the disk, so that a power cut cannot undo a rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with two-space indents, real characters and a final newline; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json(path: Path, made_by: str | None = None) -> Any:
    """Read JSON. `made_by` is the command that makes the file, named when the file is missing or damaged.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    return _parse(path, json.loads, made_by)


def read_json_lines(path: Path, made_by: str | None = None) -> list[dict[str, Any]]:
    """Read JSON lines; raises InputError as `read_json` does."""
    return _parse(path, lambda text: [json.loads(line) for line in text.splitlines() if line], made_by)


def _parse(path: Path, parse: Any, made_by: str | None) -> Any:
    cure = f"; run `{made_by}`" if made_by else ""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{cure}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}){cure}") from None


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_model_folder(path: Path, name: str = "folder") -> str:
    """SHA-256 over the names and contents of a model folder's weights, settings and tokenizer files."""
    files = sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES and file.is_file())
    large = sum(file.stat().st_size for file in files) > 1 << 30
    return sha256_of_json(
        {str(file.relative_to(path)): sha256_of_file(file) for file in track(files, f"hashing {name}", enabled=large)}
    )


def sha256_of_json(value: Any) -> str:
    """Hash of a JSON value in canonical form: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
