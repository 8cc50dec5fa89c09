"""Text files of rows, read row by row as dictionaries: JSON lines, a JSON list, CSV and TSV, each plain or gzipped.

What can be read without doubt is read (a byte order mark, UTF-16, `;` between the fields, NULL for a missing value);
what cannot is refused in one sentence that names the file and the line. Nothing of unbounded size is held: JSON lines
and CSV stream, and a line, a cell or a JSON list that is larger than any row should be is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any, cast

from common.errors import InputError, raise_if_unreadable

JSON = (".jsonl", ".ndjson", ".json")
TABLES = (".csv", ".tsv")
DELIMITERS = (",", ";", "\t", "|")
LINE_BYTES = 64 << 20
"""The longest line, and the largest cell of a CSV."""
LIST_BYTES = 512 << 20
"""The largest JSON list, which has to be held whole."""
_LIST = re.compile(r'\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:\s*)?\[')
_BETWEEN = re.compile(r"[\s,]*")

Row = dict[str, Any]


def suffix_of(path: Path) -> str:
    """The ending that says what a file holds, in lower case: `.csv` of `A.CSV.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def text_rows(path: Path, expected: Collection[str]) -> Iterator[tuple[str, Row]]:
    """(place, row) of every row of a text file; the place is for messages, as in "line 3".

    Args:
        expected: names of columns that are looked for; they tell which character separates a CSV's fields.

    Raises:
        InputError: the file is damaged, in another encoding, too large or of another form; file and line are named.
    """
    with _faults_named(path):
        yield from _csv_rows(path, expected) if suffix_of(path) in TABLES else _json_rows(path)


def parse_json(text: str) -> Any:
    """A JSON value without NaN and Infinity, which would become the texts "NaN" and "Infinity".

    Raises:
        ValueError: not JSON, not a finite number, or nested too deeply.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite)


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise_if_unreadable(path, error)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}); fetch it again or remove it") from None
    except UnicodeError as error:
        raise InputError(f"{path}: neither UTF-8 nor UTF-16 text ({_short(error)}); save it as UTF-8") from None


def _open(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _encoding(path: Path) -> str:
    """UTF-8, -16 or -32, with or without a byte order mark: their first four bytes differ."""
    with _open(path) as stream:
        return json.detect_encoding(stream.read(4))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines end at "\\n" alone: U+2028 and U+0085 may stand in a text."""
    encoding = _encoding(path)
    with _open(path) as stream:
        utf8 = encoding.startswith("utf-8")
        source: Any = stream if utf8 else io.TextIOWrapper(stream, encoding, newline="\n")
        number = 0
        while line := source.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                raise InputError(f"{path}: line {number}: longer than {LINE_BYTES >> 20} MiB; one object per line")
            if not utf8:
                yield number, line
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_json(path, f"line {number}", error) from None


def _json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """JSON lines, whatever the ending says; a file that begins with a bracket, or with an object over several lines,
    is read as a whole."""
    first = next(((number, line) for number, line in _lines(path) if line.strip()), None)
    if first is None:
        return
    if first[1].lstrip().startswith("[") or (suffix_of(path) == ".json" and not _holds_object(first[1])):
        yield from _listed_rows(path)
        return
    for number, line in _lines(path):
        if line.strip():
            yield f"line {number}", _object(path, f"line {number}", line)


def _holds_object(line: str) -> bool:
    """Whether a line is a row of JSON lines: an object, and not one that holds the whole list."""
    try:
        value = parse_json(line)
    except ValueError:
        return False
    return isinstance(value, dict) and _only_list(value) is None


def _listed_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with _open(path) as stream:
        content = stream.read(LIST_BYTES + 1)
    if len(content) > LIST_BYTES:
        raise InputError(f"{path}: larger than {LIST_BYTES >> 20} MiB; write one object per line (.jsonl) instead")
    text = content.decode(json.detect_encoding(content))
    try:
        value = parse_json(text)
    except ValueError as error:
        raise _not_json(path, _faulty_row(text), error) from None
    rows = value if isinstance(value, list) else _only_list(value)
    if rows is None:
        raise InputError(f"{path}: holds neither a list of objects nor one object per line")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number}: holds {type(row).__name__}, not an object of columns")
        yield f"row {number}", row


def _faulty_row(text: str) -> str:
    """The place of the first row of a list that is no JSON; empty where the fault lies outside the rows."""
    begin = _LIST.match(text)
    place = begin.end() if begin else len(text)
    for number in count(1):
        place = _BETWEEN.match(text, place).end()  # pyright: ignore[reportOptionalMemberAccess], it matches nothing too
        if text[place : place + 1] in ("", "]"):
            return ""
        try:
            place = _DECODER.raw_decode(text, place)[1]
        except (ValueError, RecursionError):
            return f"row {number}"
    raise AssertionError("a text ends")


def _only_list(value: Any) -> list[Any] | None:
    """The rows of `{"data": [{...}, ...]}`: an object with one key that holds a list of objects, not of messages."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    [(key, rows)] = value.items()
    named = isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)
    return rows if named and key not in ("messages", "conversations") else None


def _object(path: Path, place: str, text: str) -> Row:
    try:
        row = parse_json(text)
    except ValueError as error:
        raise _not_json(path, place, error) from None
    if not isinstance(row, dict):
        raise InputError(f"{path}: {place}: holds {type(row).__name__}, not an object of columns")
    return row


def _not_json(path: Path, place: str, error: Exception) -> InputError:
    cure = "correct it there" if place.startswith("row") else "one object per line"
    return InputError(f"{path}: {place + ': ' if place else ''}not valid JSON ({_short(error)}); {cure}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _csv_rows(path: Path, expected: Collection[str]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(LINE_BYTES)
    encoding = _encoding(path)
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with _open(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
        head = text.readline(LINE_BYTES)
        text.seek(0)
        reader = csv.reader(text, delimiter=_delimiter(head, expected), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                raise InputError(f"{path}: line 1: column {twice[0]!r} stands there twice; rename one")
            for record in reader:
                place = f"line {reader.line_num}"
                if record and len(record) != len(header):
                    raise InputError(f"{path}: {place}: {len(record)} fields, but the first line names {len(header)}")
                if record:
                    yield place, dict(zip(header, record, strict=True))
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num}: not valid CSV ({_short(error)})") from None


def _delimiter(head: str, expected: Collection[str]) -> str:
    """The character that splits the first line into most of the expected names, then into most fields."""

    def found(delimiter: str) -> tuple[int, int]:
        try:
            names = {name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])}
        except csv.Error:
            return 0, 0
        return len(names & set(expected)), len(names)

    return max(DELIMITERS, key=found)
