"""Files that are either whole or absent: written beside the target under a temporary name, flushed, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.locks import lock
from common.progress import track

MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model")
"""Endings of what decides what a model computes: weights, settings, tokenizer."""
UNSUPPORTED = {errno.EINVAL, errno.EBADF, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems answer that have no fsync of folders and no modes."""


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it replaces `target`, on any exception it is removed.

    The temporary name keeps the suffix, because writers such as numpy append one where it is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    with _beside(target, target.stem, target.suffix, _empty_file) as temporary:
        yield temporary
        _set_mode(temporary, 0o666 & ~_umask())
        flush_to_disk(temporary)
        temporary.replace(target)
        flush_to_disk(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on success it replaces `target`, on any exception it is removed.

    The old folder goes aside by a rename and is deleted once the new one stands in its place, so that there is never
    half a folder under the final name. A death between the two renames leaves none there; `recover` puts the old one
    back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    if os.path.lexists(target) and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    with _beside(target, target.name, "", _empty_folder) as temporary:
        yield temporary
        umask = _umask()
        _set_mode(temporary, 0o777 & ~umask)
        for path in temporary.rglob("*"):
            if path.is_file():
                _set_mode(path, path.stat().st_mode | 0o666 & ~umask)  # safetensors writes for the owner alone
                flush_to_disk(path)
        _swap_in(temporary, target)
        flush_to_disk(target.parent)


def recover(path: Path) -> None:
    """Undo what a killed run left of `path`: an old folder that stands aside goes back where no new one took its place,
    unfinished files and folders are removed. What a living process still holds is left alone.
    """
    if not path.parent.is_dir():
        return
    ours = re.compile(rf"\.{re.escape(path.name)}-old-\w+|\.{re.escape(path.stem)}-new-\w+(\.\w+)?")
    for entry in [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]:
        descriptor = None
        with suppress(OSError):  # gone meanwhile, or another user's
            descriptor = lock(entry)
        if descriptor is None:
            continue
        try:
            if entry.name.startswith(f".{path.name}-old-") and not os.path.lexists(path):
                entry.rename(path)
            else:
                _remove(entry)
        finally:
            os.close(descriptor)


@contextmanager
def _beside(target: Path, stem: str, suffix: str, make: Callable[..., Path]) -> Iterator[Path]:
    """A temporary beside the target, locked as long as it is in use: `recover` takes the unlocked for dead."""
    descriptor = None
    while descriptor is None:  # a `recover` elsewhere may take it between its making and its lock
        temporary = make(target.parent, f".{stem}-new-", suffix)
        with suppress(FileNotFoundError):
            descriptor = lock(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(descriptor)


def _empty_file(folder: Path, prefix: str, suffix: str) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
    os.close(handle)
    return Path(name)


def _empty_folder(folder: Path, prefix: str, suffix: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder, prefix=prefix, suffix=suffix))


def _swap_in(new: Path, target: Path) -> None:
    aside = target.parent / f".{target.name}-old-{new.name[-8:]}"
    descriptor = None
    with suppress(OSError):
        descriptor = lock(target)  # so that no `recover` puts it back between the two renames
    try:
        with suppress(FileNotFoundError):
            target.rename(aside)
        new.rename(target)
    except OSError:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Force a file's content, or a folder's names, to the disk, so that a power cut cannot undo a rename.

    A file system that cannot do it (SMB, some mounts of notebooks) is left to itself; a failing or full disk is not.
    """
    with _where_supported():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _set_mode(path: Path, mode: int) -> None:
    with _where_supported():
        path.chmod(mode)


@contextmanager
def _where_supported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with two-space indents, real characters and a final newline; NaN and infinity are refused."""
    write_text(path, _json(value, indent=2) + "\n")


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    write_text(path, "".join(_json(row) + "\n" for row in rows))


def _json(value: Any, **layout: Any) -> str:
    """JSON with real characters; the lone halves of surrogate pairs, which no encoding takes, stay escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **layout)
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def read_json(path: Path, made_by: str | None = None) -> Any:
    """Read JSON. `made_by` is the command that makes the file, named when the file is missing or damaged.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    return _parse(path, json.loads, made_by)


def read_json_lines(path: Path, made_by: str | None = None) -> list[dict[str, Any]]:
    """Read JSON lines; raises InputError as `read_json` does."""
    return _parse(path, lambda text: [json.loads(line) for line in json_lines(text)], made_by)


def json_lines(text: str) -> list[str]:
    """The lines of JSON-lines text that hold something. A line ends at a line feed alone: str.splitlines() would also
    end it within a value, at U+2028, U+2029 or U+0085.
    """
    return [line for line in text.split("\n") if line.strip()]


def _parse(path: Path, parse: Any, made_by: str | None) -> Any:
    cure = f"; run `{made_by}`" if made_by else ""
    try:
        return parse(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{cure}") from None
    except RecursionError:
        raise InputError(f"{path}: not valid JSON (nested too deeply){cure}") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise InputError(f"{path}: not valid JSON ({error}){cure}") from None


def inside(folder: Path, name: str, most_bytes: int | None = None) -> Path:
    """`folder / name`, a file that lies in the folder itself: what comes from others may hold links to anything.

    Links into the blobs of the hub's cache, of which its folders consist, are followed.

    Raises:
        InputError: a link leads out of the folder, or the file is larger than `most_bytes`.
    """
    path, root = folder / name, folder.resolve()
    target = path.resolve()
    blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    if not (target.is_relative_to(root) or target.is_relative_to(blobs)):
        raise InputError(f"{path}: leads out of the folder; put the file itself there")
    if most_bytes is not None and target.is_file() and target.stat().st_size > most_bytes:
        raise InputError(f"{path}: has {target.stat().st_size:,} bytes, allowed: {most_bytes:,}")
    return path


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_files(path: Path) -> list[Path]:
    """A model folder's weights, settings and tokenizer files, in order."""
    return sorted(file for file in path.rglob("*") if file.suffix in MODEL_FILES and file.is_file())


def sha256_of_model_folder(path: Path, name: str = "folder") -> str:
    """SHA-256 over the names and contents of a model folder's weights, settings and tokenizer files."""
    files = model_files(path)
    large = sum(file.stat().st_size for file in files) > 1 << 30
    return sha256_of_json(
        {str(file.relative_to(path)): sha256_of_file(file) for file in track(files, f"hashing {name}", enabled=large)}
    )


def sha256_of_json(value: Any) -> str:
    """Hash of a JSON value in canonical form: sorted keys, no spaces."""
    text = _json(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
