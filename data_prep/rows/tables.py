"""The rows of a source as a daft frame with Cendol's columns, and daft's runner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from common.environment import asked_for
from common.errors import InputError, raise_if_unreadable
from common.progress import console, plain_console
from data_prep.rows.conversation import OPTIONAL
from data_prep.rows.text import COLUMNS

if TYPE_CHECKING:
    from daft import DataFrame
    from rich.table import Table

CONSTANT = "="
"""`data.columns: {subset_name: "=alpaca"}` gives every row that text instead of a column's."""

_PATTERN = re.compile(r"([\[\]{}*?\\])")


def use_runner(runner: str) -> None:
    """Choose daft's runner: `local` (in process) or `ray` (the cluster of RAY_ADDRESS, else this machine).

    Raises:
        InputError: `ray` is asked for and not installed.
    """
    import daft

    if runner == "local":
        if daft.get_or_infer_runner_type() != "native":
            daft.set_runner_native(num_threads=asked_for())
        return
    try:
        import ray  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            "data.runner: ray: Ray is not installed; run `pip install --editable '.[ray]'`, or choose local"
        ) from None
    daft.set_runner_ray(noop_if_initialized=True)


def source_column(columns: Mapping[str, str], name: str) -> str:
    """The source's name of our column `name`."""
    return columns.get(name, name)


def columns_of(columns: Mapping[str, str]) -> tuple[str, ...]:
    """COLUMNS, and those of OPTIONAL that the source has."""
    return (*COLUMNS, *(name for name in OPTIONAL if name in columns))


def literal(path: Path) -> str:
    """A path for daft, which reads every path as a pattern."""
    return _PATTERN.sub(r"\\\1", str(path))


def read_source(files: list[Path], columns: Mapping[str, str]) -> DataFrame:
    """The files' rows, lazily, with exactly `columns_of(columns)` as text; every other column is left unread."""
    import daft
    from daft import DataType, col, lit

    names = columns_of(columns)
    stored = {source_column(columns, name) for name in names}
    schema = {name: DataType.string() for name in stored if not name.startswith(CONSTANT)}
    # without it the first file's types would hold for all, and a column that is null there would be null everywhere
    frame = daft.read_parquet([literal(path) for path in files], infer_schema=False, schema=schema)
    selected = []
    for name in names:
        theirs = source_column(columns, name)
        value = lit(theirs[1:]) if theirs.startswith(CONSTANT) else col(theirs)
        selected.append(value.cast(DataType.string()).alias(name))
    return frame.select(*selected)


def refuse_unreadable(files: list[Path], reason: Exception) -> None:
    """Find which parquet file made daft fail, reading them one by one, and name it.

    Raises:
        InputError: a file cannot be read to its end. Returns where all can: then the fault is not theirs.
    """
    for path in files:
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=65536):
                batch.validate(full=True)  # text that is not UTF-8 too
        except (OSError, ValueError) as error:
            raise_if_unreadable(path, error)
            raise InputError(
                f"{path}: damaged parquet file ({_first_line(error)}); fetch it again or remove it"
            ) from reason


def print_table(table: Table) -> None:
    """Show a table on stderr, whole even where that is no terminal and has no width."""
    whole = plain_console(width=1000).measure(table).maximum
    (console if console.is_terminal else plain_console(stderr=True, width=max(120, whole))).print(table)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
