"""A source's row files, checked before anything long starts, and rewritten as parquet of texts where they are not that.

A parquet file that holds our columns as texts is read where it lies. Everything else is written anew into the inputs'
folder: other text types, whole numbers in the columns that describe a row, text files (`reading`), and rows in another
form than one column for each of ours (`row_forms`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError, raise_if_unreadable
from common.files import atomic_path
from common.progress import track
from data_prep.inputs.reading import suffix_of, text_rows
from data_prep.inputs.row_forms import MESSAGES, TEXTS, OurRow, RowForm
from data_prep.rows.conversation import OPTIONAL
from data_prep.rows.documents import RAW
from data_prep.rows.tables import CONSTANT
from data_prep.rows.text import COLUMNS

_Rows = Callable[[], Iterable[tuple[str, dict[str, Any]]]]
CHUNK = 20_000
CURE = "map differing names with data.columns: {input: THEIRS, output: THEIRS}"


@dataclass
class RowFiles:
    """Parquet files ready for `select`, how their columns map to ours, and what was left aside on the way."""

    paths: list[Path]
    columns: dict[str, str] = field(default_factory=dict)
    ignored_columns: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class _Checked:
    """One file: where its rows lie now, the source's columns in it, and our optional columns that it fills."""

    path: Path
    ready: Path
    seen: dict[str, None]
    foreign: bool = False
    filled: set[str] = field(default_factory=set)


def check_rows(files: list[Path], columns: Mapping[str, str], converted: Path, source: str = "rows") -> RowFiles:
    """Check every file's columns and types, and write into `converted` what is no parquet of texts.

    Where the rows are another instruction set's (`columns` maps input or output, Alpaca, conversations), a describing
    column (all of COLUMNS but TEXTS) that no file has then holds the name of the source in every row.

    Raises:
        InputError: corrupt files, missing columns, columns that hold no text: all of them at once.
    """
    form = RowForm.of(columns)
    result, faults = RowFiles([]), []
    checked: list[_Checked] = []
    for number, path in enumerate(track(files, "checking files") if len(files) > 4 else files):
        target = converted / f"{number:05d}-{path.stem[:40]}.parquet"
        try:
            checked.append(_Check(path, form, target, result.dropped).run())
        except InputError as error:
            faults += error.faults
    constants = _constants(form, checked, source)
    for file in checked:
        faults += _missing(file, form, constants)
    faults += _missing_everywhere(form, checked) if not faults else []
    if faults:
        for file in checked:
            if file.ready != file.path:
                file.ready.unlink(missing_ok=True)
        raise InputError(faults)
    result.paths = [file.ready for file in checked]
    result.columns = _mapping(form, constants, checked)
    result.ignored_columns = _ignored(form, checked)
    return result


def _written(form: RowForm) -> dict[str, str]:
    """Our column -> its name in the files that are read: the source's, or ours where a template makes the column."""
    names = {name: form.theirs(name) for name in (*COLUMNS, "system") if not form.constant(name)}
    return {name: name for name in names} if _renamed(form) else names


def _renamed(form: RowForm) -> bool:
    return bool(form.templates() or set(form.columns.values()) & {*OPTIONAL})


@dataclass(frozen=True)
class _Check:
    path: Path
    form: RowForm
    target: Path
    dropped: Counter[str]

    def run(self) -> _Checked:
        if suffix_of(self.path) != ".parquet":
            expected = {*COLUMNS, *self.form.columns.values(), *MESSAGES, "instruction", RAW}
            expected = expected.union(*self.form.templates().values())
            return self._write_rows(lambda: text_rows(self.path, expected))
        try:
            return self._parquet()
        except (OSError, pa.ArrowException, UnicodeError) as error:
            raise_if_unreadable(self.path, error)
            reason = str(error).partition("\n")[0][:160]
            raise InputError(f"{self.path}: corrupt parquet file ({reason}); fetch it again or remove it") from None

    def _parquet(self) -> _Checked:
        schema = pq.read_schema(self.path)
        seen = dict.fromkeys(schema.names)
        types = {name: schema.field(name).type for name in seen if schema.names.count(name) == 1}
        form = self.form
        if form.templates() or form.holds_messages(types) or form.is_alpaca(types) or form.holds_text(types):
            return self._write_rows(lambda: _parquet_rows(self.path, list(types)), seen)
        written = _written(self.form)
        wanted = {name: self.form.theirs(name) for name in written if self.form.theirs(name) in seen}
        if "system" not in self.form.columns and not _holds_text(types.get("system")):
            wanted.pop("system", None)
        faults = [fault for name, theirs in wanted.items() for fault in _type_faults(name, theirs, types.get(theirs))]
        if faults:
            raise InputError([f"{self.path}: {fault}" for fault in faults])
        file = _Checked(self.path, self.path, seen, filled={*wanted} & {*OPTIONAL})
        plain = all(str(types[name]) in ("string", "large_string") for name in wanted.values())
        same = all(written[name] == wanted[name] for name in wanted) and len(types) == len(schema.names)
        theirs = {*seen} & {*OPTIONAL} - {*wanted.values()}  # a `history` of theirs would be taken for ours
        if not plain or not same or theirs:
            file.ready = self.target
            _write_texts(self.path, {written[name]: theirs for name, theirs in wanted.items()}, self.target)
        return file

    def _write_rows(self, rows: _Rows, seen: Iterable[str] = ()) -> _Checked:
        """Write rows in any form as ours, with the optional columns only where a row fills one."""
        for optional in (False, True):
            file, dropped = _Checked(self.path, self.target, dict.fromkeys(seen)), Counter[str]()
            names = {name: there for name, there in _written(self.form).items() if optional or name not in OPTIONAL}
            names |= {name: name for name in OPTIONAL[1:] if optional}
            schema = pa.schema([(name, pa.string()) for name in dict.fromkeys(names.values())])
            with atomic_path(self.target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as out:
                for chunk in _chunks(self._our_rows(rows(), file, dropped)):
                    if file.filled and not optional:
                        break  # and begin again
                    named = [{names[name]: value for name, value in row.items() if name in names} for row in chunk]
                    out.write_table(pa.Table.from_pylist(named, schema))
            if optional or not file.filled:
                self.dropped.update(dropped)
                return file
        raise AssertionError("the second time takes every column")

    def _our_rows(
        self, rows: Iterable[tuple[str, dict[str, Any]]], file: _Checked, dropped: Counter[str]
    ) -> Iterator[OurRow]:
        """Rows with lone surrogates, which UTF-8 cannot hold, are dropped and counted."""
        for place, row in rows:
            file.seen.update(dict.fromkeys(row))
            form = self.form
            file.foreign |= form.holds_messages(row) is not None or form.is_alpaca(row) or form.holds_text(row)
            try:
                ours = list(self.form.rows(row, dropped))
            except ValueError as error:
                raise InputError(f"{self.path}: {place}: {error}") from None
            for one in ours:
                if any("\ud800" <= character <= "\udfff" for text in one.values() if text for character in text):
                    dropped["lone_surrogates"] += 1
                    continue
                file.filled |= {name for name in OPTIONAL if one.get(name) is not None}
                yield one


def _chunks(rows: Iterable[OurRow]) -> Iterator[list[OurRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _parquet_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=columns):
        for row in batch.to_pylist():
            number += 1
            yield f"row {number}", row


def _write_texts(path: Path, columns: dict[str, str], target: Path) -> None:
    """Parquet with its columns as texts: `columns` names what is written -> what is read."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in pq.ParquetFile(path).iter_batches(columns=list(dict.fromkeys(columns.values()))):
            batch.validate(full=True)
            writer.write_batch(pa.record_batch([_as_text(batch[theirs]) for theirs in columns.values()], schema=schema))


def _as_text(column: Any) -> pa.Array:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.string())


def _type_faults(name: str, theirs: str, kind: pa.DataType | None) -> Iterator[str]:
    if kind is None:
        yield f"column {theirs}: stands there twice; rename one"
    elif not _holds_text(kind) and not (pa.types.is_integer(kind) and name not in (*TEXTS, "system")):
        yield f"column {theirs}: holds {kind}, not text; write it as strings"


def _holds_text(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _constants(form: RowForm, checked: list[_Checked], source: str) -> dict[str, str]:
    """The describing columns that no file of a foreign set has: the source's name in every row."""
    foreign = {*TEXTS, "messages", RAW} & set(form.columns) or any(file.foreign for file in checked)
    if not foreign:
        return {}
    present = set[str]().union(*(file.seen for file in checked))
    absent = [name for name in COLUMNS if name not in (*TEXTS, *form.columns) and name not in present]
    return dict.fromkeys(absent, CONSTANT + source)


def _missing(file: _Checked, form: RowForm, constants: Mapping[str, str]) -> Iterator[str]:
    """A column of ours that a file lacks. A template's columns may be absent, a conversation's texts are its turns."""
    given = {*constants, *form.templates(), *(TEXTS if file.foreign else ())}
    names = [name for name in COLUMNS if name not in given and not form.constant(name)]
    missing = [form.theirs(name) for name in names if form.theirs(name) not in file.seen]
    if not missing:
        return
    if not file.seen:
        yield f"{file.path}: holds no rows; remove it"
        return
    if suffix_of(file.path) == ".parquet":
        said = f"missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; there: {_some(file.seen)}"
    else:
        said = f"no line has {', '.join(missing)}; there: {_some(sorted(file.seen))}"
    yield f"{file.path}: {said}; {CURE}"


def _missing_everywhere(form: RowForm, checked: list[_Checked]) -> Iterator[str]:
    """Columns named in `data.columns`, optional or in a template, that no file has."""
    present = set[str]().union(*(file.seen for file in checked))
    named = {f"data.columns: {ours}": names for ours, names in form.templates().items()}
    for ours in {"system", "messages", RAW} & form.columns.keys() - form.templates().keys():
        if not form.constant(ours):
            named[f"data.columns: {ours}"] = [form.columns[ours]]
    for key, names in sorted(named.items()):
        absent = [name for name in names if name not in present]
        if absent:
            yield f"{key}: no file has a column {', '.join(absent)}; there: {_some(sorted(present))}"


def _mapping(form: RowForm, constants: dict[str, str], checked: list[_Checked]) -> dict[str, str]:
    """Our column -> a column of the ready files, or a constant, where that differs; the optional columns in use."""
    written = _written(form)
    ours = form.columns.keys() - form.templates().keys() - {"messages", RAW}
    kept = {name: theirs for name, theirs in form.columns.items() if name in ours}
    mapped = {name: written.get(name, theirs) for name, theirs in kept.items()} | constants
    filled = set[str]().union(*(file.filled for file in checked))
    return mapped | {name: written.get(name, name) for name in OPTIONAL if name in filled and not form.constant(name)}


def _ignored(form: RowForm, checked: list[_Checked]) -> list[str]:
    present = set[str]().union(*(file.seen for file in checked))
    read = {form.theirs(name) for name in COLUMNS}.union(*form.templates().values())
    if "system" in form.columns or any("system" in file.filled for file in checked):
        read.add(form.theirs("system"))
    if any(file.foreign for file in checked):
        read |= {"instruction", form.holds_messages(dict.fromkeys(present)) or "", form.theirs(RAW)}
    return sorted(present - read)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")
