"""Section "What adaptation costs": the bound on the English sample, and on the rows of an English file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.metrics import METRICS
from eval.metrics.statistics import bootstrap_scores, mean
from eval.report.formatting import TableCell, interval_cell, signed
from eval.report.labels import Labels, SystemLabel
from eval.report.load import ENGLISH, System


@dataclass(frozen=True)
class EnglishRow:
    """change: against the base, with its interval; n: items of the sample."""

    system: SystemLabel
    cells: list[TableCell]
    change: str
    n: int


@dataclass(frozen=True)
class RetentionSection:
    """english: on the built-in sample. of_file: on the first rows of `file`; none without one."""

    english: list[EnglishRow]
    of_file: list[EnglishRow]
    file: str


def build(systems: Sequence[System], labels: Labels) -> RetentionSection:
    sample, of_file = (_rows(systems, labels, key) for key in ENGLISH)
    named = systems[0].metrics["settings"].get("evaluation", {}).get("english_file")
    return RetentionSection(sample, of_file, Path(named).name if named else "")


def _rows(systems: Sequence[System], labels: Labels, key: str) -> list[EnglishRow]:
    measured = [system for system in systems if system.metrics.get(key)]
    base = next((system for system in measured if system.name == "base"), None)
    return [english_row(system, base, labels, key) for system in measured]


def english_row(system: System, base: System | None, labels: Labels, key: str) -> EnglishRow:
    english = system.metrics[key]
    return EnglishRow(
        labels[system.name],
        [interval_cell(english[metric], METRICS[metric]) for metric in ("bound_per_token", "bits_per_byte")],
        change="–" if base is None or system is base else change_text(system, base, key),
        n=english["bound_per_token"]["n"],
    )


def change_text(system: System, base: System, key: str) -> str:
    """The bound's change against the base, with a 95% interval over the items."""
    metric = METRICS["bound_per_token"]
    own, other = (np.array(one.metrics[key]["statistics"][metric.key], dtype=np.float64) for one in (system, base))
    differences = bootstrap_scores(own, mean, 2000, 0) - bootstrap_scores(other, mean, 2000, 0)
    low, high = (float(end) for end in np.quantile(differences, (0.025, 0.975)))
    value = float(mean(own.sum(axis=0)) - mean(other.sum(axis=0)))
    return f"{signed(value, metric)} [{signed(low, metric)}, {signed(high, metric)}]"
