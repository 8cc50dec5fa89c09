"""The word tables: one CSV file each in the folder `tables`; lists inside a cell are separated by `/`."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tables"


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `tables/<name>.csv`."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def column(name: str, field: str) -> tuple[str, ...]:
    return tuple(row[field] for row in table(name))


def cell(text: str) -> tuple[str, ...]:
    """The items of a cell."""
    return tuple(text.split("/"))


def members(group: str) -> tuple[str, ...]:
    """The things of one group of `groups.csv`."""
    return next(cell(row["members"]) for row in table("groups") if row["group"] == group)
