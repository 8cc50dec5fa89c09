"""Rows of a public test file as dictionaries, whatever it is written in: CSV, TSV, JSON lines, a JSON list, a workbook.

UTF-8 with or without a byte order mark, or UTF-16 with one; commas, semicolons or tabs; a header line, or none where
the suite is published without. Column names are compared without case and punctuation: `Kalimat-1` is `kalimat1`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from common.errors import InputError
from common.files import json_lines

Row = dict[str, Any]
LARGEST_PART = 1 << 28  # bytes of an unpacked part of a workbook
LARGEST_CELL = 1 << 22
SEPARATORS = ",;\t"
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def column(name: str) -> str:
    """The form in which column names are compared: lower-case letters and digits."""
    return re.sub(r"[\W_]+", "", name.casefold())


def read_rows(path: Path, known: Collection[str], headless: Sequence[str] = ()) -> list[Row]:
    """All rows, keys in the form of `column`.

    Args:
        known: columns of the suite, by which the separator is found.
        headless: the columns of a file that is published without a header line.

    Raises:
        InputError: the file is missing, or of no form that is read.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = path.read_bytes()
    try:
        if content.startswith(b"PK\x03\x04"):
            rows = _table(_workbook(path))
        else:
            text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
            rows = _json_rows(text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, known, headless)
    except (ValueError, RecursionError, csv.Error, zipfile.BadZipFile, KeyError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not a CSV, TSV, JSON-lines or XLSX file ({error})") from None
    if not rows:
        raise InputError(f"{path}: no rows")
    return rows


def _json_rows(text: str) -> list[Row]:
    """JSON lines, or one list. Objects below a row (SEA-HELM's `prompts` and `metadata`) are lifted into it."""
    whole = text.lstrip().startswith("[")
    rows = json.loads(text) if whole else [json.loads(line) for line in json_lines(text)]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a row is no object")
    return [_lifted(row) for row in rows]


def _lifted(row: Row) -> Row:
    inner: Row = {}
    for value in row.values():
        nested = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(nested, dict):
            inner |= {column(str(key)): one for key, one in nested.items()}
    return inner | {column(key): value for key, value in row.items()}


def _csv_rows(text: str, known: Collection[str], headless: Sequence[str]) -> list[Row]:
    """The separator is the one that finds most of the suite's columns; without a header, most rows of its width."""
    csv.field_size_limit(LARGEST_CELL)
    lines = [line for line in text.splitlines() if line.strip()][:200]
    if not lines:
        return []

    def columns(delimiter: str) -> int:
        return sum(column(name) in known for name in lines[0].split(delimiter))

    def fitting(delimiter: str) -> int:
        return sum(line.count(delimiter) + 1 == len(headless) for line in lines)

    bare = max(SEPARATORS, key=fitting)
    if headless and not any(map(columns, SEPARATORS)) and 2 * fitting(bare) > len(lines):
        return _table([line.rstrip("\r").split(bare) for line in text.split("\n")], headless)
    delimiter = max(SEPARATORS, key=lambda one: (columns(one), lines[0].count(one)))
    return _table(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))


def _table(cells: list[list[str]], names: Sequence[str] = ()) -> list[Row]:
    """Rows of cells by `names`, or by the first row. A row of another width is marked by the key "", as damaged."""
    filled = [line for line in cells if any(cell.strip() for cell in line)]
    if not names and filled:
        names, filled = [column(name) for name in filled[0]], filled[1:]
    damaged = [{} if len(line) == len(names) else {"": None} for line in filled]
    return [dict(zip(names, line, strict=False)) | mark for line, mark in zip(filled, damaged, strict=True)]


def _workbook(path: Path) -> list[list[str]]:
    """The cells of the first sheet of an XLSX workbook, as texts."""
    with zipfile.ZipFile(path) as archive:
        shared = []
        if "xl/sharedStrings.xml" in archive.namelist():
            shared = ["".join(part.itertext()) for part in _part(archive, "xl/sharedStrings.xml").iter(f"{_SHEET}si")]
        sheets = sorted(name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
        rows = []
        for line in _part(archive, sheets[0] if sheets else "xl/worksheets/sheet1.xml").iter(f"{_SHEET}row"):
            values: dict[int, str] = {}
            for place, cell in enumerate(line.iter(f"{_SHEET}c")):
                text = "".join(cell.itertext())
                values[_place(cell.get("r"), place)] = shared[int(text)] if cell.get("t") == "s" else text
            rows.append([values.get(place, "") for place in range(max(values, default=-1) + 1)])
    width = len(rows[0]) if rows else 0
    return [line + [""] * (width - len(line)) for line in rows]


def _part(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > LARGEST_PART:
        raise ValueError(f"{name} is larger than {LARGEST_PART >> 20} MB")
    content = archive.read(name)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError(f"{name} declares entities")
    return ElementTree.fromstring(content)


def _place(reference: str | None, otherwise: int) -> int:
    """The column of a cell's reference: C7 -> 2."""
    letters = re.match(r"[A-Z]{1,3}", reference or "")
    if letters is None:
        return otherwise
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1
