"""Section "Where it fails": by noise level, by token budget, by group of items, and the worst and best answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.metrics import METRICS
from eval.metrics.scoring import GROUP_METRICS
from eval.report import charts
from eval.report.formatting import TableCell, interval_cell
from eval.report.labels import Labels
from eval.report.load import System
from eval.report.sections.parts.tables import CountedRow, SystemTable

GROUPINGS = {"subset_name": "Subset", "cluster": "Cluster", "answer_tokens": "Tokens of the reference"}
EXTREMES = 5  # worst and best answers on an adapter's page


@dataclass(frozen=True)
class ChartedTable:
    """The same as charts and as a table."""

    panels: list[Markup]
    table: SystemTable


@dataclass(frozen=True)
class FailuresSection:
    """noise, overflow: None where they were not measured. worst, best: rows of items.jsonl by their chrF++."""

    noise: ChartedTable | None
    overflow: ChartedTable | None
    groups: list[SystemTable]
    worst: list[dict[str, Any]]
    best: list[dict[str, Any]]


def build(systems: Sequence[System], labels: Labels) -> FailuresSection:
    """worst and best are those of the last system."""
    items = sorted(systems[-1].items, key=lambda item: item["scores"]["chrf"])
    return FailuresSection(
        noise=fit_by_noise(systems, labels),
        overflow=length_by_budget(systems, labels),
        groups=[group_table(kind, key, systems, labels) for kind in GROUPINGS for key in GROUP_METRICS],
        worst=items[:EXTREMES],
        best=items[::-1][:EXTREMES],
    )


def fit_by_noise(systems: Sequence[System], labels: Labels) -> ChartedTable | None:
    """Cross-entropy and accuracy of masked tokens over the share that is masked."""
    measured = {system.name: system.metrics["noise_levels"] for system in systems if system.metrics.get("noise_levels")}
    if not measured:
        return None

    def panel(title: str, unit: str, key: str, factor: float) -> Markup:
        series = [
            charts.Series(
                labels[name].title,
                labels[name].style,
                [100 * level["mask_share"] for level in levels],
                [factor * level[key] for level in levels],
            )
            for name, levels in measured.items()
        ]
        return charts.line_chart(title, "", series, "answer tokens masked, %", unit)

    rows = []
    for levels in zip(*measured.values(), strict=True):
        cells = [TableCell(f"{one['nats']:.3f}", f"{100 * one['accuracy']:.1f}% right") for one in levels]
        rows.append(CountedRow(f"{100 * levels[0]['mask_share']:.0f}%", levels[0]["tokens"], cells))
    panels = [
        panel("Cross-entropy by noise level", "nats per masked token", "nats", 1.0),
        panel("Accuracy by noise level", "right tokens, %", "accuracy", 100.0),
    ]
    return ChartedTable(panels, SystemTable("Fit by noise level", "Masked", [labels[name] for name in measured], rows))


def length_by_budget(systems: Sequence[System], labels: Labels) -> ChartedTable | None:
    """Answer length over the token budget."""
    measured = {system.name: system.metrics["eos_overflow"] for system in systems if system.metrics.get("eos_overflow")}
    if not measured:
        return None
    series = []
    for name, entries in measured.items():
        lengths = [entry["answer_tokens"] for entry in entries]
        values, low, high = ([one[end] for one in lengths if one[end] is not None] for end in ("value", "low", "high"))
        budgets = [math.log2(entry["budget"]) for entry in entries]
        series.append(charts.Series(labels[name].title, labels[name].style, budgets, values, low, high))
    rows, ticks = [], []
    for entries in zip(*measured.values(), strict=True):
        cells = []
        for entry in entries:
            stopped, empty = (f"{100 * entry[key]['value']:.0f}%" for key in ("stopped", "empty"))
            cells.append(TableCell(f"{entry['answer_tokens']['value']:.1f}", f"{stopped} stop, {empty} empty"))
        budget = entries[0]["budget"]
        rows.append(CountedRow(f"{budget} tokens", entries[0]["answer_tokens"]["n"], cells))
        ticks.append((math.log2(budget), str(budget)))
    title, note = "Answer length by budget", "band: 95% interval"
    chart = charts.line_chart(title, note, series, "token budget, logarithmic", "answer tokens", x_names=ticks)
    names = [labels[name] for name in measured]
    return ChartedTable([chart], SystemTable("Mean answer tokens by token budget", "Budget", names, rows))


def group_table(kind: str, key: str, systems: Sequence[System], labels: Labels) -> SystemTable:
    """One of GROUP_METRICS by subset, cluster or length of the reference."""
    metric, label = METRICS[key], GROUPINGS[kind]
    rows = []
    for group, first in systems[0].metrics["groups"][kind].items():
        cells = [interval_cell(system.metrics["groups"][kind][group][key], metric) for system in systems]
        rows.append(CountedRow(group, first[key]["n"], cells))
    names = [labels[system.name] for system in systems]
    return SystemTable(f"{metric.label} by {label.lower()}", label, names, rows)
