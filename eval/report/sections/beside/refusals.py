"""Section "Refusals": how often each system refused the prompts of a file, and what the rule that counts gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.formatting import TableCell
from eval.report.labels import Labels
from eval.report.load import System
from eval.report.sections.beside.suites import share_cell
from eval.report.sections.parts.tables import CountedRow, SystemTable


@dataclass(frozen=True)
class RefusalsSection:
    """A table for each file of prompts, all of them and those of each facet; what the rule gets wrong, in words."""

    tables: list[SystemTable]
    rule: str


def build(systems: Sequence[System], labels: Labels) -> RefusalsSection | None:
    """None where nothing was measured."""
    measured = [(system, system.refusals) for system in systems if system.refusals is not None]
    if not measured:
        return None
    files: dict[str, list[tuple[System, dict[str, Any]]]] = {}
    for system, facts in measured:
        files.setdefault(facts["file_sha256"], []).append((system, facts))
    tables = [_table(number, found, labels) for number, found in enumerate(files.values(), start=1)]
    return RefusalsSection(tables, _rule(measured[0][1]["rule"]))


def _table(number: int, measured: Sequence[tuple[System, dict[str, Any]]], labels: Labels) -> SystemTable:
    first = measured[0][1]
    rows = [CountedRow("All prompts", first["n"], [share_cell(facts["refusals"]) for _, facts in measured])]
    for facet, values in first["tables"].items():
        for value, rate in values.items():
            cells = [_cell(facts, facet, value) for _, facts in measured]
            rows.append(CountedRow(f"{facet}: {value}", rate["n"], cells))
    return SystemTable(
        f"Refused prompts of file {number}", "Prompts", [labels[system.name] for system, _ in measured], rows
    )


def _cell(facts: Mapping[str, Any], facet: str, value: str) -> TableCell:
    rate = facts["tables"].get(facet, {}).get(value)
    return TableCell("–") if rate is None else share_cell(rate)


def _rule(rule: Mapping[str, Any]) -> str:
    def spoken(rate: Mapping[str, Any]) -> str:
        cell = share_cell(rate)
        return f"{cell.text}{f' ({cell.interval})' if cell.interval else ''}"

    return (
        f"Refusals are counted by a rule. Of {rule['labelled']} hard answers that were labelled by hand it finds "
        f"{spoken(rule['sensitivity'])} of the refusals and passes over {spoken(rule['specificity'])} of the others: "
        "rates compare systems and are no measure of safety."
    )
