"""Cells of the report's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.metrics import Metric
from eval.report.formatting import interval_text, number


@dataclass(frozen=True)
class TableCell:
    """The value, and the interval below it where there is one."""

    text: str
    interval: str = ""


def interval_cell(entry: Mapping[str, Any] | None, metric: Metric) -> TableCell:
    """Value and interval of one entry of metrics.json, with its standard error where it has one."""
    if entry is None:
        return TableCell("–")
    interval = interval_text(entry, metric)
    if "standard_error" in entry:
        interval += f", SE {number(entry['standard_error'], metric)}"
    return TableCell(number(entry["value"], metric), interval)
