"""What an artefact held, as one word: a stage writes down what it read and wrote, and the next one compares.

So a file that was exchanged for another, as valid as the first, is noticed, and so is a stage that was run again by
hand without those that come after it. A seal costs at most 64 MiB of reading, whatever the file's size; it tells files
of different content apart, but it is no proof that nobody changed some bytes in the middle of a large one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from common.errors import InputError
from common.files import read_json, sha256_of_json
from common.records import Record, read_record

WHOLE = 64 << 20
"""Bytes up to which a file is read whole. A larger one is read in pieces at even distances, its ends among them, so
that a command need not read gigabytes of weights and rows before it begins.
"""
PIECE, PIECES = 128 << 10, 64


class Files(Record):
    """Seals by path, relative to the folder of the facts that hold them; absolute where the file lies elsewhere."""

    read: dict[str, str] = {}  # noqa: RUF012  (a pydantic default, copied for each record)
    wrote: dict[str, str] = {}  # noqa: RUF012
    facts: str | None = None
    """Of all else in the facts, these hashes too."""


class _Facts(Record):
    files: Files = Files()


def seal(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits; of a file over WHOLE bytes that of its size and pieces of it."""
    status = path.stat()
    return _seal(str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _seal(path: str, size: int, *_: int) -> str:
    digest = hashlib.sha256(b"" if size <= WHOLE else f"{size}\n".encode())
    with Path(path).open("rb") as stream:
        if size <= WHOLE:
            digest.update(stream.read())
        else:
            for number in range(PIECES):
                stream.seek(number * (size - PIECE) // (PIECES - 1))
                digest.update(stream.read(PIECE))
    return digest.hexdigest()


def seals(root: Path, *places: Path) -> dict[str, str]:
    """The seal of every file at or below the places, by its path relative to `root`, in the order of the paths."""
    found = {_name(root, path): path for place in places for path in _files(place)}
    return {name: seal(found[name]) for name in sorted(found)}


def files(facts: Path, *, read: Iterable[Path], wrote: Iterable[Path]) -> dict[str, Any]:
    """`{"files": {read, wrote}}`, for a stage's facts at `facts`; folders count with all their files."""
    return {"files": {"read": seals(facts.parent, *read), "wrote": seals(facts.parent, *wrote)}}


def sealed(facts: Path, content: dict[str, Any], *, read: Iterable[Path], wrote: Iterable[Path]) -> dict[str, Any]:
    """A stage's facts with what `files` adds and a seal of the facts themselves."""
    whole = content | files(facts, read=read, wrote=wrote)
    return content | {"files": whole["files"] | {"facts": _of_json(whole)}}


def _of_json(content: dict[str, Any]) -> str:
    whole = json.loads(json.dumps(content))  # as it is read again: every key is a text
    whole["files"].pop("facts", None)
    return sha256_of_json(whole)


def check(facts: Path, path: Path, made_by: str, strict: bool = False) -> None:
    """Compare an artefact with what the stage wrote down that made it, and that with what it has read.

    Facts that are missing are passed over, and so is a file that was read and is gone; facts without seals too, unless
    `strict` (an adapter may be somebody else's).

    Args:
        facts: the stage's facts. path: a file or folder that it wrote, or the facts themselves.
        made_by: the command that makes it, named as the cure.

    Raises:
        InputError: another file is there than was written, or than was read; strict: there is no seal.
    """
    if not os.path.lexists(facts):
        return
    recorded = recorded_in(facts, made_by)
    if strict and recorded.facts is None:
        raise InputError(f"{facts}: holds no hash of itself and of what it tells of; run `{made_by}` again")
    if recorded.facts is not None and recorded.facts != _of_json(read_json(facts)):
        raise InputError(f"{facts}: not what the stage wrote; run `{made_by}` again")
    name = _name(facts.parent, path)
    wrote = {key: value for key, value in recorded.wrote.items() if PurePosixPath(key).is_relative_to(name)}
    for key in differing(facts.parent, wrote):
        raise InputError(f"{facts.parent / key}: not the file that {facts.name} tells of; run `{made_by}` again")
    there = {key: value for key, value in recorded.read.items() if os.path.lexists(facts.parent / key)}
    for key in differing(facts.parent, there):
        raise InputError(f"{facts}: made from another {key} than is there now; run `{made_by}` again")


def recorded_in(facts: Path, made_by: str) -> Files:
    """What a stage's facts hold of it; InputError where they are damaged."""
    return read_record(facts, _Facts, made_by).files


def differing(root: Path, recorded: Mapping[str, str]) -> Iterator[str]:
    """The names of files below `root` that are gone or have another seal."""
    for name, value in recorded.items():
        path = root / name
        if not path.is_file() or seal(path) != value:
            yield name


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from (path for path in place.rglob("*") if path.is_file())


def _name(root: Path, path: Path) -> str:
    path, root = path.absolute(), root.absolute()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
