"""A source's row files: found, checked before anything long starts, JSON lines turned into parquet."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError
from common.files import atomic_path
from common.progress import track
from data_prep.rows.tables import CONSTANT, source_column
from data_prep.rows.text import COLUMNS

SUFFIXES = (".parquet", ".jsonl")
GLOB_CHARACTERS = frozenset("*?[")
CHUNK = 20_000


TEXTS = ("input", "output")
"""The columns that every instruction set has; the others describe a row and may be absent from a foreign one."""


@dataclass
class RowFiles:
    """Parquet files ready for `select`, how their columns map to ours, and what was left aside on the way."""

    paths: list[Path]
    columns: dict[str, str] = field(default_factory=dict)
    ignored_columns: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def find_rows(source: str) -> list[Path]:
    """The row files of a folder (at any depth) or of a glob, sorted.

    Raises:
        InputError: no such folder, or nothing in it to read.
    """
    if GLOB_CHARACTERS & set(source):
        candidates = [Path(name) for name in glob.glob(source, recursive=True)]  # noqa: PTH207, Path.glob takes no absolute pattern
    elif Path(source).is_file():
        candidates = [Path(source)]
    elif Path(source).is_dir():
        candidates = list(Path(source).rglob("*"))
    else:
        raise InputError(
            f"data.source: {source}: no such folder or file; give a folder or glob of parquet or .jsonl files"
        )
    files = sorted(path for path in candidates if path.suffix in SUFFIXES and path.is_file())
    if not files:
        raise InputError(f"data.source: {source}: no .parquet or .jsonl file there; check the path")
    return files


def check_rows(files: list[Path], columns: Mapping[str, str], converted: Path, source: str = "rows") -> RowFiles:
    """Check every file's columns and types, and convert JSON lines into `converted`.

    Where `columns` maps input or output, the rows are another instruction set's: a describing column (all of COLUMNS
    but TEXTS) that no file has then holds the name of the source in every row.

    Raises:
        InputError: corrupt files, missing columns, columns that hold no text: all of them at once.
    """
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise InputError(
            f"data.columns: {', '.join(unknown)}: not a column of ours; map any of {', '.join(COLUMNS)} to the source's"
        )
    columns = dict(columns)
    if set(TEXTS) & set(columns):
        present = _present_columns(files)
        absent = [name for name in COLUMNS if name not in (*TEXTS, *columns) and name not in present]
        columns |= dict.fromkeys(absent, CONSTANT + source)
    wanted = [source_column(columns, name) for name in COLUMNS]
    wanted = [name for name in wanted if not name.startswith(CONSTANT)]
    result, faults = RowFiles([], columns), []
    ignored: set[str] = set()
    for number, path in enumerate(track(files, "checking files") if len(files) > 4 else files):
        try:
            if path.suffix == ".jsonl":
                path = _convert(path, wanted, converted / f"{number:05d}-{path.stem}.parquet", result.dropped)
            schema = pq.read_schema(path)
        except InputError as error:
            faults += error.faults
            continue
        except (OSError, pa.ArrowException) as error:
            reason = str(error).partition("\n")[0][:160]
            faults.append(f"{path}: corrupt parquet file ({reason}); fetch it again or remove it")
            continue
        faults += _column_faults(path, schema, wanted)
        ignored |= set(schema.names) - set(wanted)
        result.paths.append(path)
    if faults:
        raise InputError(faults)
    result.ignored_columns = sorted(ignored)
    return result


def _present_columns(files: list[Path]) -> set[str]:
    """Every column that some file has; of JSON lines, every key of the first line. Faults are left to the check."""
    present: set[str] = set()
    for path in files:
        if path.suffix == ".jsonl":
            _, first = next(_json_rows(path), (0, {}))
            present |= first.keys()
            continue
        try:
            present |= set(pq.read_schema(path).names)
        except (OSError, pa.ArrowException):
            continue
    return present


def _column_faults(path: Path, schema: pa.Schema, wanted: list[str]) -> Iterator[str]:
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        yield (
            f"{path}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; there: {', '.join(schema.names)}; "
            "map differing names with data.columns: {input: THEIRS, output: THEIRS}"
        )
    for name in wanted:
        if name in schema.names and not _holds_text(schema.field(name).type):
            yield f"{path}: column {name}: holds {schema.field(name).type}, not text; write it as strings"


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _convert(path: Path, wanted: list[str], target: Path, dropped: Counter[str]) -> Path:
    """One JSON-lines file as parquet. Rows with lone surrogates, which UTF-8 cannot hold, are dropped and counted."""
    schema = pa.schema([(name, pa.string()) for name in wanted])
    seen: set[str] = set()
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        rows: list[dict[str, str | None]] = []
        for line, row in _json_rows(path):
            seen |= row.keys()
            texts = {name: _text(path, line, name, row.get(name)) for name in wanted}
            if any("\ud800" <= character <= "\udfff" for text in texts.values() if text for character in text):
                dropped["lone_surrogates"] += 1
                continue
            rows.append(texts)
            if len(rows) == CHUNK:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema))
    missing = [name for name in wanted if name not in seen]
    if missing:
        target.unlink()
        raise InputError(
            f"{path}: no line has {', '.join(missing)}; there: {', '.join(sorted(seen))}; "
            "map differing names with data.columns: {input: THEIRS, output: THEIRS}"
        )
    return target


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
                raise InputError(f"{path}: line {number}: not valid JSON ({error}); one object per line") from None
            if not isinstance(row, dict):
                raise InputError(f"{path}: line {number}: holds {type(row).__name__}, not an object of columns")
            yield number, row


def _text(path: Path, line: int, name: str, value: Any) -> str | None:
    if isinstance(value, list | dict):
        raise InputError(f"{path}: line {line}: {name}: holds {type(value).__name__}, not text")
    return value if value is None or isinstance(value, str) else json.dumps(value)
