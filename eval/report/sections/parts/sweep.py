"""Part of the section "Training": a matched sweep of learning rates, as `python -m pipeline sweep` wrote it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.report import charts
from eval.report.formatting import rate_text
from eval.report.labels import Labels, SystemLabel, labels_of, system_title

Bounds = dict[float, list[float]]  # learning rate -> final bound of each seed


@dataclass(frozen=True)
class SweepRow:
    """One method at one rate, as printed."""

    title: str
    rate: str
    seeds: int
    mean: str
    spread: str
    best: bool


@dataclass(frozen=True)
class SweepSection:
    """A label, a sentence and rows per method."""

    methods: list[SystemLabel]
    panels: list[Markup]
    rows: list[SweepRow]
    sentences: list[str]


def build(facts: Mapping[str, Any], evaluated: Labels) -> SweepSection:
    """Charts, table and sentences of one sweep.

    Args:
        facts: `runs` (method, learning_rate, seed, last bound, curve), `best` and `steps_to_reach` per method.
        evaluated: the labels of the evaluated systems; further methods get the marks after these.
    """
    labels = labels_of([*evaluated, *(method for method in facts["best"] if method not in evaluated)])
    bounds = {method: _bounds(facts, method) for method in facts["best"]}
    rows = [
        SweepRow(
            labels[method].title,
            rate_text(rate),
            len(values),
            f"{statistics.fmean(values):.3f}",
            f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else "–",
            rate == facts["best"][method]["learning_rate"],
        )
        for method, by_rate in bounds.items()
        for rate, values in by_rate.items()
    ]
    panels = [panel for panel in (_by_rate(bounds, labels), _by_step(facts, labels)) if panel]
    return SweepSection([labels[method] for method in bounds], panels, rows, _sentences(facts, bounds))


def _bounds(facts: Mapping[str, Any], method: str) -> Bounds:
    """Final bounds by learning rate, rates ascending."""
    runs = [run for run in facts["runs"] if run["method"] == method]
    return {
        rate: [run["last"]["loss"] for run in runs if run["learning_rate"] == rate]
        for rate in sorted({run["learning_rate"] for run in runs})
    }


def _by_rate(bounds: Mapping[str, Bounds], labels: Labels) -> Markup:
    """Mean final bound over the logarithm of the rate, the band from the best seed to the worst."""
    series = []
    for method, by_rate in bounds.items():
        of_seeds = list(by_rate.values())
        several = any(len(values) > 1 for values in of_seeds)
        series.append(
            charts.Series(
                labels[method].title,
                labels[method].style,
                [math.log10(rate) for rate in by_rate],
                [statistics.fmean(values) for values in of_seeds],
                [min(values) for values in of_seeds] if several else (),
                [max(values) for values in of_seeds] if several else (),
            )
        )
    rates = sorted({rate for by_rate in bounds.values() for rate in by_rate})
    names = [(math.log10(rate), rate_text(rate)) for rate in _spread(rates)]
    note = "band: all seeds" if any(one.low for one in series) else "one seed"
    return charts.line_chart(
        "Final bound by learning rate", note, series, "peak learning rate, logarithmic", "nats per token", x_names=names
    )


def _spread(rates: list[float]) -> list[float]:
    """At most five of the rates, evenly chosen, so that their names do not touch."""
    return rates[:: max(1, math.ceil(len(rates) / 5))]


def _by_step(facts: Mapping[str, Any], labels: Labels) -> Markup:
    """The validation bound over the steps, each method at its best rate, averaged over the seeds."""
    series = []
    for method, best in facts["best"].items():
        curves = [
            dict(run["curve"])
            for run in facts["runs"]
            if run["method"] == method and run["learning_rate"] == best["learning_rate"]
        ]
        steps = sorted(set(curves[0]).intersection(*curves[1:]))
        means = [statistics.fmean(curve[step] for curve in curves) for step in steps]
        series.append(charts.Series(labels[method].title, labels[method].style, steps, means))
    return charts.line_chart("At the best rate", "mean over seeds", series, "optimizer step", "nats per token")


def _sentences(facts: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> list[str]:
    first = next(iter(facts["best"]))
    sentences = []
    for method, best in facts["best"].items():
        rate = rate_text(best["learning_rate"])
        text = f"{system_title(method)} is best at {rate}: {best['bound']:.3f} nats per token"
        if best["seeds"] > 1:
            text += f", standard deviation over {best['seeds']} seeds {best['deviation']:.3f}"
        alike = best.get("rates_alike", [])
        if len(alike) > 1:
            told = " (one seed tells nothing)" if best["seeds"] == 1 else ""
            text += f"; rates from {rate_text(alike[0])} to {rate_text(alike[-1])} cannot be told apart{told}"
        rates = list(bounds[method])
        if len(rates) > 1 and best["learning_rate"] in (rates[0], rates[-1]):
            text += "; that is an end of the range, so a better rate may lie beyond"
        if method != first:
            steps = facts["steps_to_reach"][method]
            reach = "does not reach" if steps is None else f"needs {steps:.0f} steps to reach"
            text += f"; it {reach} the final bound of {system_title(first)}"
            if method in facts.get("minus_reference", {}):
                text += f", and ends {_signed(facts['minus_reference'][method])} nats beside it, paired by seed"
        sentences.append(f"{text}.")
    if search := facts.get("search"):
        minutes = f"{search['seconds'] / 60:.0f} minutes of training"
        sentences.append(f"The search: {search['runs']} runs, {search['steps']} optimizer steps, {minutes}.")
    return sentences


def _signed(difference: Mapping[str, float | None]) -> str:
    """A difference with its interval, where there is one: −0.013 [−0.029, +0.003]."""
    value, *interval = (
        f"{number:+.3f}".replace("-", "−")
        for number in (difference[key] for key in ("difference", "low", "high"))
        if number is not None
    )
    return f"{value} [{', '.join(interval)}]" if interval else value
