"""Section "Accuracy by kind of task": how often an answer holds the asked-for fact, and equals the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.metrics import METRICS
from eval.metrics.definitions import ACCURACY
from eval.report.formatting import interval_cell
from eval.report.labels import Labels
from eval.report.load import System
from eval.report.sections.parts.tables import CountedRow, SystemTable

EXACT = "exact_match"


@dataclass(frozen=True)
class AccuracySection:
    """right: over the items with one right answer; exact: over all items. open_kinds: kinds without any right answer,
    with their items. seeds: whether a method has several, of which these tables show the first.
    """

    right: SystemTable
    exact: SystemTable
    open_kinds: list[tuple[str, int]]
    seeds: bool


def build(systems: Sequence[System], labels: Labels) -> AccuracySection | None:
    """None where no answer has a key."""
    if systems[0].value(ACCURACY) is None:
        return None
    kinds = systems[0].metrics["groups"]["kind"]
    checked = [kind for kind, scores in kinds.items() if scores[ACCURACY]["n"]]
    return AccuracySection(
        right=_table("Right answers by kind of task", ACCURACY, checked, systems, labels),
        exact=_table("Answers equal to the reference, by kind of task", EXACT, list(kinds), systems, labels),
        open_kinds=[(kind, scores[EXACT]["n"]) for kind, scores in kinds.items() if kind not in checked],
        seeds=any(system.others for system in systems),
    )


def _table(title: str, key: str, kinds: Sequence[str], systems: Sequence[System], labels: Labels) -> SystemTable:
    """A row per kind, and one of all items; of each system's own training alone."""
    metric = METRICS[key]
    rows = []
    for kind in kinds:
        scores = [system.metrics["groups"]["kind"][kind][key] for system in systems]
        rows.append(CountedRow(kind, scores[0]["n"], [interval_cell(one, metric) for one in scores]))
    whole = [system.metrics["metrics"][key] for system in systems]
    rows.append(CountedRow("all", whole[0]["n"], [interval_cell(one, metric) for one in whole]))
    return SystemTable(title, "Kind", [labels[system.name] for system in systems], rows)
