"""Tables with a column per system, as several sections have them."""

from __future__ import annotations

from dataclasses import dataclass

from eval.report.formatting import TableCell
from eval.report.labels import SystemLabel


@dataclass(frozen=True)
class CountedRow:
    """A row of what was measured on n items or tokens, a cell per system."""

    label: str
    n: int
    cells: list[TableCell]


@dataclass(frozen=True)
class SystemTable:
    """A column per system; `label` heads the rows."""

    title: str
    label: str
    systems: list[SystemLabel]
    rows: list[CountedRow]
