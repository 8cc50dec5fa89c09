"""Section "Comparison": intervals, every metric of every system beside floors and ceiling, every pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from common.text.language import LANGUAGES
from eval.metrics import METRICS, Metric
from eval.metrics.definitions import POINT_METRICS
from eval.metrics.floors import CEILING_LABEL, FLOOR_LABELS
from eval.metrics.statistics import Comparison
from eval.report import charts
from eval.report.formatting import TableCell, interval_cell, listed, number, signed
from eval.report.labels import Labels, SystemLabel, system_title
from eval.report.load import System
from eval.report.sections.parts import seeds
from eval.report.sections.parts.language import TOGETHER, columns, joined, joined_score
from eval.report.verdict import better, compared_metrics, details

PLOTTED_FLOORS = ("other_answer", "frequent_words", "prompt")
TABLES: dict[str, tuple[str, ...]] = {
    "Likelihood and overlap": (
        "bound_per_token",
        "bits_per_byte",
        "chrf",
        "bleu",
        "rouge1",
        "rouge2",
        "rougeL",
        "meteor",
        "accuracy",
        "exact_match",
    ),
    "Meaning": ("cosine", "f1_at_half"),
    "Behaviour": (
        "repetition",
        "common_words",
        "distinct1",
        "distinct2",
        "same_answer",
        "length_ratio",
        "empty",
        "truncated",
        "echo",
        "leftover",
    ),
    "Language": tuple(f"language_{language}" for language in LANGUAGES),
}


@dataclass(frozen=True)
class MetricRow:
    """A system's cells, or those of a floor or the ceiling, which have no system. seeds: trainings behind them."""

    title: str
    system: SystemLabel | None
    seeds: int
    cells: list[TableCell]


@dataclass(frozen=True)
class MetricTable:
    """A column per metric, a row per system, then floors and ceiling."""

    title: str
    metrics: list[Metric]
    rows: list[MetricRow]


@dataclass(frozen=True)
class PairRow:
    """One comparison as printed; `winner` is a title, or says that there is none."""

    pair: str
    difference: str
    interval: str
    p: str
    seeds: int
    effect: str
    detectable: str
    winner: str


@dataclass(frozen=True)
class ComparisonSection:
    """pairs: per compared metric, all pairs of systems. details: the adapters' pairs in words. detectable: the
    differences this test set would show between what is `compared`, as words; empty where nothing is.
    """

    plots: list[Markup]
    tables: list[MetricTable]
    seeds: seeds.SeedTable
    pairs: list[tuple[Metric, list[PairRow]]]
    details: list[str]
    comparisons: int
    compared: str
    detectable: str
    adapters: list[SystemLabel]


def build(systems: Sequence[System], labels: Labels, comparisons: Sequence[Comparison] = ()) -> ComparisonSection:
    compared = compared_metrics(systems)
    adapters = {name for one in comparisons for name in (one.first, one.second) if name != "base"}
    of_metric = {key: [item for item in comparisons if item.metric == key] for key in compared}
    return ComparisonSection(
        plots=[interval_panel(METRICS[key], systems, labels) for key in compared],
        tables=[metric_table(title, systems, labels) for title in TABLES if any_measured(title, systems)],
        seeds=seeds.build(systems, labels),
        pairs=[(METRICS[key], [pair_row(item) for item in items]) for key, items in of_metric.items() if items],
        details=details(comparisons),
        comparisons=len(comparisons),
        compared="two adapters" if len(adapters) > 1 else "the adapter and the base",
        detectable=listed((detectable_difference(items) for items in of_metric.values()), "or") if comparisons else "",
        adapters=[labels[system.name] for system in systems if system.name != "base"],
    )


def detectable_difference(pairs: Sequence[Comparison]) -> str:
    """The smallest difference on one metric that this test set detects between any two adapters, or between the only
    one and the base. Pairs with the base say little about adapters: their answers differ far more from item to item.
    """
    between = [item for item in pairs if "base" not in (item.first, item.second)] or pairs
    metric = METRICS[pairs[0].metric]
    return f"{number(max(item.detectable for item in between), metric)} on {metric.name}"


def any_measured(title: str, systems: Sequence[System]) -> bool:
    return any(system.value(key) is not None for key in TABLES[title] for system in systems)


def interval_panel(metric: Metric, systems: Sequence[System], labels: Labels) -> Markup:
    factor, unit, decimals = (100.0, "%", 0) if metric.share else (1.0, metric.unit, metric.decimals)
    rows = []
    for system in systems:
        score, label = system.scores[metric.key], labels[system.name]
        value, low, high = (None if score[end] is None else factor * score[end] for end in ("value", "low", "high"))
        rows.append(charts.Row(label.title, label.style, float(value or 0.0), low, high))
    floors = systems[0].metrics["floors"]
    shown = [name for name in PLOTTED_FLOORS if metric.key in floors[name]]
    lines = [(FLOOR_LABELS[name], factor * floors[name][metric.key]) for name in shown]
    note = f"{metric.better} is better" + (f", {unit}" if unit else "")
    return charts.interval_plot(metric.label, note, rows, lines, decimals)


def metric_table(title: str, systems: Sequence[System], labels: Labels) -> MetricTable:
    """The table of that title, without the metrics that no system has."""
    known = METRICS | POINT_METRICS | {TOGETHER.key: TOGETHER}
    content = systems[0].metrics
    keys = columns(TABLES[title], content["ceiling"])
    scores = {system.name: system.scores for system in systems}
    if TOGETHER.key in keys:
        scores = {system.name: {**system.scores, TOGETHER.key: joined_score(system)} for system in systems}
    metrics = [known[key] for key in keys if any(key in own for own in scores.values())]
    rows = [
        MetricRow(
            f"{system.title}, {len(system.trainings)} seeds" if system.others else system.title,
            labels[system.name],
            len(system.trainings),
            [interval_cell(scores[system.name].get(metric.key), metric) for metric in metrics],
        )
        for system in systems
    ]
    pseudo = {FLOOR_LABELS[name]: joined(values) for name, values in content["floors"].items()}
    pseudo[CEILING_LABEL] = joined(content["ceiling"])
    if any(metric.key in values for values in pseudo.values() for metric in metrics):
        for label, values in pseudo.items():
            cells = [TableCell(number(values[m.key], m) if m.key in values else "–") for m in metrics]
            rows.append(MetricRow(label, None, 1, cells))
    return MetricTable(title, metrics, rows)


def pair_row(item: Comparison) -> PairRow:
    metric, winner = METRICS[item.metric], better(item)
    return PairRow(
        pair=f"{system_title(item.first)} − {system_title(item.second)}",
        difference=signed(item.difference, metric),
        interval=f"{signed(item.low, metric)} to {signed(item.high, metric)}",
        p=f"{item.p_adjusted:.4f}",
        seeds=item.seeds,
        effect=f"{'+' if item.effect > 0 else '−' if item.effect < 0 else ''}{abs(item.effect):.2f}",
        detectable=number(item.detectable, metric),
        winner=system_title(winner) if winner else "cannot be told apart",
    )
