"""Section "What adaptation costs": the bound on the English sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
class RetentionSection:
    english: list[EnglishRow]


def build(systems: Sequence[System], labels: Labels) -> RetentionSection:
    measured = [system for system in systems if system.metrics.get("english")]
    base = next((system for system in measured if system.name == "base"), None)
    return RetentionSection(english=[english_row(system, base, labels) for system in measured])


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
