"""A multiple-choice question, however its suite is published, and the cells that it is read from."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import one_line
from eval.suites.rows import column

LETTERS = "ABCDE"
LONGEST_LIST = 100_000  # characters of a list that stands in a cell
_LABELLED = re.compile(r"\s*([A-Ea-e])\s*[.)]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Question:
    """A question with 2 to 5 options.

    id: the suite's own, or the row's number. stem: what the options follow, line breaks included; close: what follows
    the options. answer: the right option's place. group: items of one group are not independent (an exam's subject, a
    passage); None where the suite has no groups. facets: what tables go by. shot: one of the suite's few-shot rows.
    """

    id: str
    stem: str
    options: tuple[str, ...]
    answer: int
    group: str | None = None
    facets: Mapping[str, str] = field(default_factory=dict)
    shot: bool = False
    close: str = "\nJawaban:"

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= len(LETTERS):
            raise DamagedRowError(f"{len(self.options)} options where 2 to {len(LETTERS)} are wanted")
        if not 0 <= self.answer < len(self.options):
            raise DamagedRowError(f"the answer is option {self.answer + 1} of {len(self.options)}")


class DamagedRowError(ValueError):
    """A row that holds no question: it is counted, and left out."""


@dataclass(frozen=True)
class Cells:
    """A row of a suite's file. Every getter takes the names under which a column is published."""

    row: Mapping[str, Any]
    number: int

    def get(self, *names: str) -> Any:
        """The value, None where the cell is empty or there is no such column."""
        for name in names:
            value = self.row.get(column(name))
            if value is not None and not (isinstance(value, float) and value != value) and str(value).strip():
                return value
        return None

    def text(self, *names: str) -> str:
        value = self.get(*names)
        if value is None or isinstance(value, dict | list):
            raise DamagedRowError(f"{names[0]}: {value!r} where a text is needed")
        return str(value).strip()

    def maybe(self, *names: str) -> str | None:
        value = self.get(*names)
        return None if value is None or isinstance(value, dict | list) else str(value).strip()

    def is_true(self, *names: str) -> bool:
        return (self.maybe(*names) or "").casefold() in ("1", "1.0", "true", "yes", "ya")

    def place(self, *names: str, first: int = 0) -> int:
        """An answer's place, 0 for the first option, from a letter or from a number that begins at `first`."""
        value = self.text(*names)
        if len(value) == 1 and value.upper() in LETTERS:
            return LETTERS.index(value.upper())
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if number != int(number) or number < first:
            raise DamagedRowError(f"{names[0]}: {value[:40]!r} is neither a letter from A to E nor a number")
        return int(number) - first

    def one_of(self, places: Mapping[str, int], *names: str) -> int:
        """The place of a label that is spelt out."""
        value = self.text(*names).casefold()
        if value not in places:
            raise DamagedRowError(f"{names[0]}: {value[:40]!r} is none of {', '.join(places)}")
        return places[value]

    def facets(self, **columns: str) -> dict[str, str]:
        """What tables go by, where the row has it: facet -> column."""
        return {facet: value for facet, name in columns.items() if (value := self.maybe(name)) is not None}


def listed_options(value: Any) -> tuple[str, ...]:
    """Options as a list, as a list in Python's notation, or one a line; their letters ("A. ...") are taken off.

    Nothing is evaluated: the notation is read by `ast.literal_eval`, which knows literals alone.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        if len(value) > LONGEST_LIST:
            raise DamagedRowError(f"a list of {len(value)} characters")
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise DamagedRowError(f"options: not a list ({one_line(str(error), 80)})") from None
    if isinstance(value, str):
        options = _by_lines([line for line in value.split("\n") if line.strip()])
    elif isinstance(value, list) and all(isinstance(option, str) for option in value):
        options = [match[2] if (match := _LABELLED.fullmatch(option)) else option for option in value]
    else:
        raise DamagedRowError("options: not a list of texts")
    if not all(option.strip() for option in options):
        raise DamagedRowError("options: one of them is empty")
    return tuple(option.strip() for option in options)


def _by_lines(lines: Sequence[str]) -> list[str]:
    """Where the first line has a letter, a line that does not begin with the next one belongs to the option above."""
    if not lines or _LABELLED.fullmatch(lines[0]) is None:
        return list(lines)
    options: list[str] = []
    for line in lines:
        match = _LABELLED.fullmatch(line)
        if match and match[1].upper() == LETTERS[len(options) : len(options) + 1]:
            options.append(match[2])
        elif options:
            options[-1] += f"\n{line.strip()}"
    return options
