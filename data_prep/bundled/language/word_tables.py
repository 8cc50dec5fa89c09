"""The word tables of the bundled corpus: CSV files in `tables/`, UTF-8, one entry a line under the columns' names.

    table("animals", Animal)      # one Animal per line, in the file's order
    column("names")               # the cells of a table of one column

An entry's class says what its columns hold: text, a number (`int`), text that may be missing (`str | None`, None where
the cell is empty), or several texts separated by `; ` (`tuple[str, ...]`). The order of the lines matters: the corpus
is drawn from them by number.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from common.errors import InputError

FOLDER = Path(__file__).parents[1] / "tables"
Entry = TypeVar("Entry")


def table(name: str, entry: type[Entry]) -> tuple[Entry, ...]:
    """Every line of `tables/NAME.csv` as an `entry`, a dataclass whose fields are the columns.

    Raises:
        InputError: the header differs from the fields, a line occurs twice, has another number of columns, or a cell
            does not hold what its column should; the file and the line are named.
    """
    return read_table(FOLDER / f"{name}.csv", entry)


def column(name: str) -> tuple[str, ...]:
    """The cells of `tables/NAME.csv`, which has one column; raises InputError as `table` does."""
    path = FOLDER / f"{name}.csv"
    _, *lines = _lines(path)
    return tuple(_cell(path, number, cell, str) for number, [cell] in lines)


@cache
def read_table(path: Path, entry: type[Any]) -> tuple[Any, ...]:
    """What `table` gives, of any file."""
    columns = [field.name for field in fields(entry)]
    kinds = [get_type_hints(entry)[name] for name in columns]
    (_, header), *lines = _lines(path)
    if header != columns:
        raise InputError(f"{path}: line 1: the columns are {', '.join(header)}; they should be {', '.join(columns)}")
    return tuple(
        entry(*(_cell(path, number, cell, kind) for cell, kind in zip(cells, kinds, strict=True)))
        for number, cells in lines
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the header and of every entry; each entry is different and as wide as the header."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        yield 1, header
        first: dict[tuple[str, ...], int] = {}
        for cells in reader:
            number = reader.line_num
            if len(cells) != len(header):
                raise InputError(f"{path}: line {number}: {len(cells)} columns; the header has {len(header)}")
            if first.setdefault(tuple(cells), number) != number:
                raise InputError(f"{path}: line {number}: the same as line {first[tuple(cells)]}; remove one")
            yield number, cells


def _cell(path: Path, line: int, text: str, kind: Any) -> Any:
    if text != text.strip():
        raise InputError(f"{path}: line {line}: {text!r}: white space at its ends; remove it")
    if kind == str | None:
        return text or None
    if not text:
        raise InputError(f"{path}: line {line}: an empty cell in a column that has none")
    if kind == tuple[str, ...]:
        return tuple(text.split("; "))
    if kind is int and not text.isdecimal():
        raise InputError(f"{path}: line {line}: {text!r}: not a whole number")
    return kind(text)
