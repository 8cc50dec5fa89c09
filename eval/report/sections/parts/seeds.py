"""Part of the section "Comparison": the trainings of the methods that have several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.metrics import METRICS, Metric
from eval.metrics.definitions import PRIMARY, SECONDARY
from eval.report.formatting import TableCell, interval_text, number
from eval.report.labels import Labels, SystemLabel
from eval.report.load import System


@dataclass(frozen=True)
class SeedRow:
    """One training of a system, all of them together, or the spread between them."""

    system: SystemLabel
    seed: str
    cells: list[TableCell]


@dataclass(frozen=True)
class SeedTable:
    """No rows where no method has several seeds. left_out: why trainings are not among them."""

    metrics: list[Metric]
    rows: list[SeedRow]
    left_out: list[str]
    shown: int


def build(systems: Sequence[System], labels: Labels) -> SeedTable:
    """Every training on the two metrics of the verdict, all of them together, and the standard deviation."""
    metrics = [METRICS[key] for key in (PRIMARY, SECONDARY)]
    rows = []
    for system in (system for system in systems if system.others):
        values = {str(seed): one.metrics["metrics"] for seed, one in system.trainings.items()} | {"all": system.scores}
        rows += [SeedRow(labels[system.name], name, _cells(scores, metrics)) for name, scores in values.items()]
        spread = [TableCell(number(deviation_over_seeds(system, metric.key), metric)) for metric in metrics]
        rows.append(SeedRow(labels[system.name], "SD", spread))
    left_out = [text for system in systems for text in system.left_out]
    return SeedTable(metrics, rows, left_out, shown=next(iter(systems[0].trainings)))


def _cells(scores: Mapping[str, Any], metrics: Sequence[Metric]) -> list[TableCell]:
    """Without the standard error, which would make the table too wide for a phone."""
    entries = [(scores[metric.key], metric) for metric in metrics]
    return [TableCell(number(entry["value"], metric), interval_text(entry, metric)) for entry, metric in entries]


def deviation_over_seeds(system: System, key: str) -> float:
    """Standard deviation of a score over the trainings."""
    return statistics.stdev(one.metrics["metrics"][key]["value"] for one in system.trainings.values())
