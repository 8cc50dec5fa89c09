"""Section "Taught one way, asked both", as `python -m pipeline reversal` wrote it, systems of both paradigms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from adapters.methods import METHODS
from adapters.naming import AdapterName
from common.systems import BASES, TWIN
from eval.metrics.statistics import SIGNIFICANT
from eval.report.formatting import TableCell, p_value
from eval.report.labels import system_title
from eval.report.records.values import Count, Number, Strict

Name = Annotated[str, Field(max_length=200)]
COLUMNS = (("forward", "forward"), ("forward", "backward"), ("both ways", "backward"))
"""(taught, asked): what a row shows."""


class Share(Strict):
    """Right answers to the pairs of a kind that were taught this way, asked in this direction."""

    kind: Name
    taught: Literal["forward", "both ways"]
    asked: Literal["forward", "backward"]
    right: Count
    n: Annotated[int, Field(ge=1)]
    low: Number
    high: Number


class Asked(Strict):
    """One system; its answers stay in the file."""

    shares: Annotated[list[Share], Field(min_length=1)]


class Test(Strict):
    """One exact McNemar test."""

    first: Name
    second: Name
    only_first: Count
    only_second: Count
    n: Count
    p_adjusted: Annotated[float, Field(ge=0, le=1)]


class Reversal(Strict):
    """reversal.json."""

    systems: Annotated[dict[Name, Asked], Field(min_length=1)]
    tests: list[Test]

    @model_validator(mode="after")
    def _has_known_systems(self) -> Self:
        for name in self.systems:
            if name not in BASES and AdapterName.parse(name.removeprefix(TWIN)).method not in METHODS:
                raise ValueError(f"systems: {name} is no system")
        asked = {f"{name} {direction}" for name in self.systems for direction in ("forward", "backward")}
        if any({test.first, test.second} - asked for test in self.tests):
            raise ValueError("tests: of a system that was not asked")
        return self


@dataclass(frozen=True)
class ReversalRow:
    """A system: the share right of each of `COLUMNS`, and p of its own two directions."""

    title: str
    cells: list[TableCell]
    p: str


@dataclass(frozen=True)
class ReversalSection:
    """rows: over all kinds; kinds: the same of each kind. sentences: one for each test."""

    rows: list[ReversalRow]
    kinds: list[tuple[str, list[ReversalRow]]]
    sentences: list[str]
    tests: int


def build(facts: Mapping[str, Any]) -> ReversalSection:
    """facts: reversal.json, checked as `Reversal`."""
    systems = facts["systems"]
    own = {test["first"]: test["p_adjusted"] for test in facts["tests"] if test["second"].endswith(" backward")
           and test["first"].endswith(" forward")}  # fmt: skip
    kinds = list(dict.fromkeys(share["kind"] for asked in systems.values() for share in asked["shares"]))
    return ReversalSection(
        [_row(name, asked["shares"], "all", own.get(f"{name} forward")) for name, asked in systems.items()],
        [
            (kind, [_row(name, asked["shares"], kind) for name, asked in systems.items()])
            for kind in kinds
            if kind != "all"
        ],
        [_sentence(test) for test in facts["tests"]],
        len(facts["tests"]),
    )


def _row(name: str, shares: Sequence[Mapping[str, Any]], kind: str, p: float | None = None) -> ReversalRow:
    of = {(one["taught"], one["asked"]): one for one in shares if one["kind"] == kind}
    return ReversalRow(
        system_title(name), [_cell(of.get(column)) for column in COLUMNS], "–" if p is None else p_value(p)
    )


def _sentence(test: Mapping[str, Any]) -> str:
    first, second = _asked(test["first"]), _asked(test["second"])
    counts = f"{test['only_first']} pairs right in the first alone, {test['only_second']} in the second, of {test['n']}"
    facts = f"{counts}; p = {p_value(test['p_adjusted'])}"
    if test["p_adjusted"] > SIGNIFICANT:
        return f"{first}, and {second}, cannot be told apart ({facts})."
    better, worse = (first, second) if test["only_first"] > test["only_second"] else (second, first)
    return f"{better}, is better than {worse} ({facts})."


def _asked(name: str) -> str:
    system, _, direction = name.rpartition(" ")
    return f"{system_title(system)}, asked {direction}s"


def _cell(share: Mapping[str, Any] | None) -> TableCell:
    if share is None:
        return TableCell("–")
    ends = f"{100 * share['low']:.0f} to {100 * share['high']:.0f}"
    return TableCell(f"{share['right']} of {share['n']}", ends)
