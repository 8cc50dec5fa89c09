"""Section "What adaptation costs": the bound on the English sample, and multiple-choice tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.metrics import METRICS
from eval.metrics.statistics import bootstrap_scores, mean
from eval.report.formatting import TableCell, interval_cell, signed
from eval.report.labels import Labels, SystemLabel
from eval.report.load import System


@dataclass(frozen=True)
class EnglishRow:
    """change: against the base, with its interval; n: items of the sample."""

    system: SystemLabel
    cells: list[TableCell]
    change: str
    n: int


@dataclass(frozen=True)
class TaskRow:
    system: SystemLabel
    cells: list[TableCell]


@dataclass(frozen=True)
class TaskTable:
    """Accuracy of one task; `chance` is that of guessing."""

    title: str
    n: int
    chance: str
    rows: list[TaskRow]


@dataclass(frozen=True)
class RetentionSection:
    english: list[EnglishRow]
    tasks: list[TaskTable]


def build(systems: Sequence[System], labels: Labels) -> RetentionSection:
    measured = [system for system in systems if system.metrics.get("english")]
    base = next((system for system in measured if system.name == "base"), None)
    tasks = systems[0].metrics.get("tasks", {})
    return RetentionSection(
        english=[english_row(system, base, labels) for system in measured],
        tasks=[task_table(name, facts, systems, labels) for name, facts in tasks.items()],
    )


def english_row(system: System, base: System | None, labels: Labels) -> EnglishRow:
    english = system.metrics["english"]
    return EnglishRow(
        labels[system.name],
        [interval_cell(english[key], METRICS[key]) for key in ("bound_per_token", "bits_per_byte")],
        change="–" if base is None or system is base else change_text(system, base),
        n=english["bound_per_token"]["n"],
    )


def change_text(system: System, base: System) -> str:
    """The bound's change against the base, with a 95% interval over the sample's items."""
    metric = METRICS["bound_per_token"]
    own, other = (
        np.array(one.metrics["english"]["statistics"][metric.key], dtype=np.float64) for one in (system, base)
    )
    differences = bootstrap_scores(own, mean, 2000, 0) - bootstrap_scores(other, mean, 2000, 0)
    low, high = (float(end) for end in np.quantile(differences, (0.025, 0.975)))
    value = float(mean(own.sum(axis=0)) - mean(other.sum(axis=0)))
    return f"{signed(value, metric)} [{signed(low, metric)}, {signed(high, metric)}]"


def task_table(name: str, facts: Mapping[str, Any], systems: Sequence[System], labels: Labels) -> TaskTable:
    scores = {system.name: system.metrics.get("tasks", {}).get(name) for system in systems}
    rows = [
        TaskRow(labels[system], [_share_cell(own[key]) for key in ("accuracy", "accuracy_normalised")])
        for system, own in scores.items()
        if own is not None
    ]
    return TaskTable(name, facts["n"], f"{100 * facts['chance']:.0f}%", rows)


def _share_cell(share: Mapping[str, Any]) -> TableCell:
    low, high = share["low"], share["high"]
    interval = "" if low is None else f"{100 * low:.0f} to {100 * high:.0f}%"
    return TableCell(f"{100 * share['value']:.0f}%", interval)
