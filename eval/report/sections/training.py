"""Section "Training": the sweep where one was run, curves, and what training and generation cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.report import charts
from eval.report.formatting import fact_text, rate_text
from eval.report.labels import Labels, SystemLabel
from eval.report.load import System
from eval.report.sections.parts import scaling, sweep

COLUMNS = ("step", "train_loss", "validation_loss", "validation_low", "validation_high", "learning_rate")


@dataclass(frozen=True)
class CurveTable:
    """The rows of a curve that have a validation, or its last one; blank cells stay blank."""

    title: str
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class CostRow:
    """What one system cost, as printed."""

    title: str
    parameters: str
    training: str
    generation: str
    passes: str
    speed: str
    memory: str


@dataclass(frozen=True)
class TrainingSection:
    """trained: the systems with a curve."""

    scaling: scaling.ScalingSection | None
    sweep: sweep.SweepSection | None
    trained: list[SystemLabel]
    panels: list[Markup]
    tables: list[CurveTable]
    costs: list[CostRow]


def build(
    systems: Sequence[System],
    labels: Labels,
    sweep_facts: Mapping[str, Any] | None = None,
    scaling_facts: Mapping[str, Any] | None = None,
) -> TrainingSection:
    trained = [system for system in systems if system.curve]
    return TrainingSection(
        scaling=scaling.build(scaling_facts) if scaling_facts else None,
        sweep=sweep.build(sweep_facts, labels) if sweep_facts else None,
        trained=[labels[system.name] for system in trained],
        panels=curve_panels(trained, labels),
        tables=[curve_table(system) for system in trained],
        costs=[cost_row(system) for system in systems],
    )


def curve_panels(trained: Sequence[System], labels: Labels) -> list[Markup]:
    """Validation loss with its interval, training loss, learning rate; only what the curves hold."""
    bounds = ("validation_loss", "validation_low", "validation_high")
    validation = [_series(system, labels, *bounds) for system in trained]
    training = [_series(system, labels, "train_loss") for system in trained]
    rates = [_series(system, labels, "learning_rate") for system in trained]
    panels = [
        charts.line_chart("Validation loss", "band: 95% interval", validation, "optimizer step", "nats per token"),
        charts.line_chart("Training loss", "noisy: one draw per row", training, "optimizer step", "nats per token"),
        charts.line_chart("Learning rate", "", rates, "optimizer step", "rate"),
    ]
    return [panel for panel in panels if panel]


def _series(system: System, labels: Labels, key: str, *band: str) -> charts.Series:
    rows = [row for row in system.curve if row.get(key) is not None and row.get("step") is not None]
    banded = all(row.get(name) is not None for name in band for row in rows)
    names = ("step", key, *band) if banded else ("step", key)
    columns = [[value for row in rows if (value := row[name]) is not None] for name in names]
    return charts.Series(system.title, labels[system.name].style, *columns)


def curve_table(system: System) -> CurveTable:
    rows = [row for row in system.curve if row.get("validation_loss") is not None] or system.curve[-1:]
    cells = [[_curve_cell(name, row.get(name)) for name in COLUMNS] for row in rows]
    return CurveTable(system.title, [name.replace("_", " ") for name in COLUMNS], cells)


def _curve_cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "step":
        return f"{value:.0f}"
    return rate_text(value) if name == "learning_rate" else f"{value:.4f}"


def cost_row(system: System) -> CostRow:
    cost, run = system.accounting, system.run
    return CostRow(
        title=system.title,
        parameters=fact_text(run.get("trainable_parameters")) if run else "–",
        training=_rounded(run.get("training_seconds")),
        generation=_rounded(cost.get("generation_seconds")),
        passes=fact_text(cost.get("forward_passes")),
        speed=_rounded(cost.get("tokens_per_second")),
        memory=f"{cost['peak_memory_bytes'] / 2**30:.2f}" if cost.get("peak_memory_bytes") else "",
    )


def _rounded(value: float | None) -> str:
    """A column's seconds or tokens per second with one decimal each, so that they line up."""
    return "–" if value is None else f"{value:,.1f}"
