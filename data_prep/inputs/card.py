"""Which files belong to which configuration and split, as a hub dataset's card declares it.

The card is README.md; the YAML between its first two `---` lines may hold `configs:`, a list of
`{config_name, data_dir, default, data_files: [{split, path}]}`. `data_files` may also be one pattern or a list of them,
all of training. A pattern is a glob below `data_dir`, in which `**` stands for any number of folders (`datasets`'
"Manual Configuration").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ConfigDict

from common.errors import InputError
from common.records import Record, as_record
from common.yaml_text import parse_yaml

CARD = "README.md"
_FRONT = re.compile(r"\A\ufeff?---[ \t]*$(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Configuration:
    """One configuration. splits: split -> patterns of its files; empty where the files' names tell their split."""

    name: str
    folder: str
    default: bool
    splits: dict[str, tuple[str, ...]]

    def files_of(self, split: str, names: Sequence[str]) -> list[str]:
        """Of `names`, those that a split's patterns match."""
        patterns = [str(PurePosixPath(self.folder, pattern)) for pattern in self.splits[split]]
        return [name for name in names if any(matches(name, pattern) for pattern in patterns)]


class _Files(Record):
    split: str = "train"
    path: str | list[str]


class _Configuration(Record):
    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)
    config_name: str
    data_dir: str = ""
    data_files: str | tuple[str | _Files, ...] = ()
    default: bool = False


class _Card(Record):
    configs: tuple[_Configuration, ...] | None = None


def read_configurations(text: str, name: str) -> list[Configuration]:
    """The configurations that a card's text declares, in its order; none where it declares none.

    Args:
        name: what the card is called in a message.

    Raises:
        InputError: what stands between the `---` lines is no YAML, or `configs` is of another shape.
    """
    front = _FRONT.match(text.replace("\r\n", "\n"))
    declared = _without_the_rest(front[1]) if front else ""
    content: Any = parse_yaml(declared, name) or {}
    card = as_record(Path(name), content, _Card)
    found = [Configuration(each.config_name, each.data_dir, each.default, _splits(each)) for each in card.configs or ()]
    names = [each.name for each in found]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise InputError(f"{name}: configs: {twice[0]} is declared twice")
    return found


def _without_the_rest(front: str) -> str:
    """Only `configs:` and what is indented below it: the other keys (features, sizes) may be long and are not read."""
    kept, inside = [], False
    for line in front.splitlines():
        if re.match(r"[^\s#-]", line):
            inside = re.match(r"configs\s*:", line) is not None
        if inside:
            kept.append(line)
    return "\n".join(kept)


def _splits(declared: _Configuration) -> dict[str, tuple[str, ...]]:
    files = [declared.data_files] if isinstance(declared.data_files, str) else declared.data_files
    found: dict[str, tuple[str, ...]] = {}
    for each in files:
        one = _Files(path=each) if isinstance(each, str) else each
        paths = (one.path,) if isinstance(one.path, str) else one.path
        found[one.split] = (*found.get(one.split, ()), *paths)
    return found


def matches(name: str, pattern: str) -> bool:
    """Whether a file's path is the pattern, or matches it as a glob: folder by folder, `**` stands for any number."""
    parts = name.split("/")
    reached = {0}  # how many parts are matched so far
    for each in pattern.split("/"):
        if each == "**" and reached:
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {place + 1 for place in reached if place < len(parts) and fnmatchcase(parts[place], each)}
    return name == pattern or len(parts) in reached
