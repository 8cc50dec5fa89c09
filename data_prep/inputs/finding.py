"""Which files of a folder, a glob or a hub repository hold rows."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import InputError, in_words
from data_prep.inputs.card import Configuration
from data_prep.inputs.reading import JSON, TABLES, suffix_of

SUFFIXES = (".parquet", *JSON, *TABLES)
KINDS = ".parquet, .jsonl, .json, .csv or .tsv, also with .gz"
GLOB_CHARACTERS = frozenset("*?[")
HIDDEN = ("__MACOSX", ".", "_")
"""How the names of what is no data begin: a system's notes (`._a.jsonl`), a notebook's copies, a writer's markers."""
ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json", "config.json"}
"""JSON files that say something of a data set and hold no row."""
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
_SHARD = re.compile(r"[-_.]?\d+[-_.]of[-_.]\d+$")
_SEPARATOR = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True)
class Found:
    """Row files, sorted, and how many hidden ones were passed over."""

    files: list[Path]
    hidden: int = 0


def search(source: str) -> Found:
    """The row files of a source. What exists is taken by its name, whatever characters are in it.

    Raises:
        InputError: no such folder, or nothing in it to read.
    """
    if Path(source).is_file():
        if not holds_rows(source):
            raise InputError(f"data.source: {source}: holds no rows by its name; rows lie in {KINDS} files")
        return Found([Path(source)])
    if Path(source).is_dir():
        candidates = list(_walk(Path(source), set()))
    elif GLOB_CHARACTERS & set(source):
        candidates = list(_matches(source))
    else:
        raise InputError(
            f"data.source: {source}: no such folder or file; give a folder or glob of parquet, JSON or CSV files"
        )
    rows = [(path, hidden) for path, hidden in candidates if holds_rows(path.name)]
    files = sorted({path for path, hidden in rows if not hidden})
    if not files:
        raise InputError(f"data.source: {source}: no .parquet or .jsonl file there (nor .json, .csv, .tsv, .gz)")
    return Found(files, len({path for path, hidden in rows if hidden}))


def holds_rows(name: str) -> bool:
    """By its name: a row file's ending, and no file about the data set. Parquet is never gzipped as a whole."""
    path = Path(name)
    compressed = path.name.lower().endswith(".gz")
    return suffix_of(path) in SUFFIXES and path.name not in ABOUT and not (compressed and suffix_of(path) == ".parquet")


def _walk(folder: Path, visited: set[str], hidden: bool = False) -> Iterator[tuple[Path, bool]]:
    """(file, whether it is hidden) below a folder; linked folders are entered, each folder once."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"data.source: {in_words(error) or error}") from None
    for entry in entries:
        inner = hidden or entry.name.startswith(HIDDEN)
        if entry.is_dir():
            yield from _walk(Path(entry.path), visited, inner)
        elif entry.is_file():
            yield Path(entry.path), inner


def _matches(pattern: str) -> Iterator[tuple[Path, bool]]:
    """Files that a glob matches, and those in folders that it matches. Its leading part that exists is no pattern."""
    parts = Path(pattern).parts
    depth = next(size for size in range(len(parts), -1, -1) if size == 0 or Path(*parts[:size]).exists())
    fixed = Path(*parts[:depth])
    escaped = str(Path(glob.escape(str(fixed)), *parts[depth:]))
    wanted = any(part.startswith("_") for part in parts[depth:])  # who writes the underscore means it
    for name in sorted(glob.glob(escaped, recursive=True)):  # noqa: PTH207, Path.glob takes no absolute pattern
        path = Path(name)
        hidden = not wanted and any(part.startswith(HIDDEN) for part in path.relative_to(fixed).parts)
        if path.is_dir() and "**" not in pattern:
            yield from _walk(path, set(), hidden)
        elif path.is_file():
            yield path, hidden


def choose_files(
    repository: str, names: Sequence[str], split: str, pattern: str | None, declared: Sequence[Configuration] = ()
) -> list[str]:
    """The files of a hub repository that hold a split's rows, sorted: [] where none is of a form that is read here.

    What the card declares decides. Where it declares nothing, a file's split is told by its name, else by the nearest
    folder's, and only by whole words between separators: `constraints_test.parquet` is test, `training_data/test.jsonl`
    too. Files of no split are training's.

    Args:
        pattern: of files, or a declared configuration's name.
        declared: the configurations of the card.

    Raises:
        InputError: nothing matches the pattern or the split; there are several configurations and none is chosen.
    """
    rows = sorted(name for name in names if holds_rows(name) and not _hidden(name))
    configuration = next((each for each in declared if each.name == pattern), None)
    if pattern is None and declared and rows:
        configuration = _only(repository, declared)
    if configuration is not None:
        return _of_configuration(repository, configuration, names, rows, split)
    if pattern is not None:
        chosen = [name for name in rows if fnmatch.fnmatch(name, pattern)]
        if not chosen:
            raise InputError(f"{repository}: data.files: {pattern}: matches none of its files: {_some(rows)}")
        # A pattern for a folder means its rows of the split; one for files of another split alone means those.
        told = [name for name in chosen if _split_of(name) in (None, split)] if split in SPLITS else chosen
        return told or chosen
    return _by_names(repository, rows, split) if rows else []


def _by_names(repository: str, rows: Sequence[str], split: str) -> list[str]:
    chosen = [name for name in rows if _is_of(name, split)]
    if not chosen and split == "train":
        chosen = [name for name in rows if _split_of(name) is None]
    if not chosen:
        raise InputError(
            f"{repository}: data.split: no file is of the split {split}; choose another, or data.files, a pattern: "
            f"{_some(rows)}"
        )
    configurations = sorted({_configuration(name, split) for name in chosen})
    if len(configurations) > 1:
        raise InputError(
            f"{repository}: the split {split} lies in {len(configurations)} configurations "
            f"({_some([each or 'the top folder' for each in configurations])}); choose with data.files, "
            f"such as '{_pattern(chosen, configurations[-1], split)}'"
        )
    return chosen


def _only(repository: str, declared: Sequence[Configuration]) -> Configuration:
    """The configuration that is taken unasked: the only one, the card's default, or the one of that name."""
    default = [each for each in declared if each.default or len(declared) == 1]
    default = default or [each for each in declared if each.name == "default"]
    if len(default) != 1:
        names = [each.name for each in declared]
        raise InputError(
            f"{repository}: its card declares {len(names)} configurations ({_some(names)}); choose one by its name, "
            f"such as data.files: {names[-1]}"
        )
    return default[0]


def _of_configuration(
    repository: str, chosen: Configuration, names: Sequence[str], rows: Sequence[str], split: str
) -> list[str]:
    """By the patterns of a declared configuration (a hidden file too), or, where it has none, by the names below its
    folder."""
    if not chosen.splits:
        inside = [name for name in rows if PurePosixPath(name).is_relative_to(chosen.folder)]
        if not inside:
            raise InputError(
                f"{repository}: the card's configuration {chosen.name}: no {KINDS} file in {chosen.folder}"
            )
        return _by_names(repository, inside, split)
    known = next((name for name in chosen.splits if name in (split, *SPLITS.get(split, ()))), None)
    if known is None:
        raise InputError(
            f"{repository}: data.split: the card's configuration {chosen.name} has no split {split}, but "
            f"{_some([*chosen.splits])}"
        )
    files = chosen.files_of(known, sorted(filter(holds_rows, names)))
    if not files:
        raise InputError(
            f"{repository}: the card's patterns of {chosen.name}, {known} ({_some(chosen.splits[known])}) match no "
            f"{KINDS} file; choose with data.files, a pattern: {_some(rows)}"
        )
    return files


def _hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in PurePosixPath(name).parts)


def _words(name: str) -> list[str]:
    return [word for word in _SEPARATOR.split(name.lower()) if word]


def _parts(name: str) -> list[list[str]]:
    """The words of the file's name without its shard's number and ending, then those of its folders, nearest first."""
    path = PurePosixPath(name)
    stem = _SHARD.sub("", path.name.lower().removesuffix(".gz").rpartition(".")[0])
    return [_words(stem), *(_words(part) for part in reversed(path.parts[:-1]))]


def _split_of(name: str) -> str | None:
    for words in _parts(name):
        for word in words:
            for split, spellings in SPLITS.items():
                if _plain(word) in spellings:
                    return split
    return None


def _plain(word: str) -> str:
    """A word without a number or "set" at its end: `test2`, `testset`."""
    return re.sub(r"(set)?\d*$", "", word)


def _is_of(name: str, split: str) -> bool:
    if split in SPLITS:
        return _split_of(name) == split
    wanted = _words(split)
    return any(words[start : start + len(wanted)] == wanted for words in _parts(name) for start in range(len(words)))


def _configuration(name: str, split: str) -> str:
    """What a file's folders, and a name that tells the split, say besides: `id` of id/train.parquet, train-id/0.parquet
    and train_id.parquet. Numbers count shards.
    """
    spellings = {*SPLITS.get(split, ()), *_words(split)}
    stem, *folders = _parts(name)
    kept = []
    for part, words in zip(reversed(PurePosixPath(name).parts[:-1]), folders, strict=True):
        others = [word for word in words if _plain(word) not in spellings]
        told = len(others) < len(words)
        kept += [part] if not told else ["-".join(others)] if others else []
    others = [word for word in map(_plain, stem) if word and word not in spellings]
    told = any(_plain(word) in spellings for word in stem)
    return "/".join([*reversed(kept), *(["-".join(others)] if told and others else [])])


def _pattern(names: Sequence[str], configuration: str, split: str) -> str:
    """A pattern for the files of one configuration: their folder where it holds no other's, else the first of them."""
    own = [name for name in names if _configuration(name, split) == configuration]
    folder = PurePosixPath(own[0]).parent.as_posix()
    others = [name for name in names if PurePosixPath(name).is_relative_to(folder) and name not in own]
    return f"{folder}/*" if folder != "." and not others else own[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
