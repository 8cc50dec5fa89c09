"""A matched sweep of learning rates, as `python -m pipeline sweep` wrote it: on top of the section "Comparison" every
method at its own best rate, and in the section "Training" how the bound depends on the rate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.metrics.statistics import SIGNIFICANT
from eval.report import charts
from eval.report.formatting import fact_text, p_value, rate_text
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
class BestRow:
    """One method at its best rate, as printed. told: whether it can be told from the first method."""

    title: str
    rate: str
    among: str
    bound: str
    difference: str
    p: str
    told: str
    parameters: str


@dataclass(frozen=True)
class SweepSection:
    """best: a row per method, the lowest bound first, drawn in `ranked`; reference: the method that the others are
    compared with. cost: of the search, as a sentence. methods: those drawn as lines, at most as many as there are
    marks; rows and sentences are of all.
    """

    best: list[BestRow]
    ranked: Markup
    reference: str
    seeds: str
    cost: str
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
    order = sorted(facts["best"], key=lambda method: facts["best"][method]["bound"])
    drawn = [method for method in facts["best"] if method in order[: len(charts.SHAPES)]]
    known = [*evaluated, *(method for method in drawn if method not in evaluated)]
    labels = labels_of(known if len(known) <= len(charts.SHAPES) else drawn)
    bounds = {method: _bounds(facts, method) for method in facts["best"]}
    rows = [
        SweepRow(
            system_title(method),
            rate_text(rate),
            len(values),
            f"{statistics.fmean(values):.3f}",
            f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else "–",
            rate == facts["best"][method]["learning_rate"],
        )
        for method, by_rate in bounds.items()
        for rate, values in by_rate.items()
    ]
    of_drawn = {method: bounds[method] for method in drawn}
    panels = [panel for panel in (_by_rate(of_drawn, labels), _by_step(facts, drawn, labels)) if panel]
    seeds = sorted({best["seeds"] for best in facts["best"].values()})
    return SweepSection(
        best=[_best_row(facts, method) for method in order],
        ranked=_ranked(facts, order, bounds),
        reference=system_title(next(iter(facts["best"]))),
        seeds=" to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
        cost=_cost(facts),
        methods=[labels[method] for method in drawn],
        panels=panels,
        rows=rows,
        sentences=_sentences(facts, bounds),
    )


def _best_row(facts: Mapping[str, Any], method: str) -> BestRow:
    best, beside = facts["best"][method], facts.get("minus_reference", {}).get(method)
    alike, rates = best.get("rates_alike", []), _searched(facts, method)
    among = f"{rate_text(alike[0])} to {rate_text(alike[-1])}" if len(alike) > 1 else "–"
    if _of_one_seed(best):
        among = "one seed"
    if len(rates) > 1 and best["learning_rate"] in (rates[0], rates[-1]):
        among += ", at an end"
    p = beside.get("p_adjusted") if beside else None
    told = "–" if p is None else "no" if p > SIGNIFICANT else "better" if beside["difference"] < 0 else "worse"
    return BestRow(
        title=system_title(method),
        rate=rate_text(best["learning_rate"]),
        among=among,
        bound=f"{best['bound']:.3f}" + (f" ± {best['deviation']:.3f}" if best["seeds"] > 1 else ""),
        difference=_signed(beside) if beside else "–",
        p="–" if p is None else p_value(p),
        told=told,
        parameters=fact_text(best.get("parameters")) if best.get("parameters") else "–",
    )


def _of_one_seed(best: Mapping[str, Any]) -> bool:
    """Whether several rates were compared on one seed, or some never at equal lengths, which tells nothing."""
    paired = best.get("seeds_of_rates")
    return len(best.get("rates_alike", [])) > 1 and (best["seeds"] if paired is None else paired) < 2


def _searched(facts: Mapping[str, Any], method: str) -> list[float]:
    """The rates that were tried, ascending, those that successive halving left behind included."""
    return facts["best"][method].get("rates") or sorted(
        {run["learning_rate"] for run in facts["runs"] if run["method"] == method}
    )


def _ranked(facts: Mapping[str, Any], order: Sequence[str], bounds: Mapping[str, Bounds]) -> Markup:
    """Each method's final bound at its best rate, from the best seed to the worst."""
    rows = []
    for method in order:
        best = facts["best"][method]
        values = bounds[method][best["learning_rate"]]
        several = len(values) > 1
        ends = (min(values), max(values)) if several else (None, None)
        rows.append(charts.Row(system_title(method), "s0", best["bound"], *ends))
    note = "nats per token; line: all seeds" if facts["best"][order[0]]["seeds"] > 1 else "nats per token, one seed"
    return charts.interval_plot("Bound at the best rate", note, rows, (), 3)


def _cost(facts: Mapping[str, Any]) -> str:
    search = facts.get("search")
    if not search:
        return ""
    minutes = f"{search['seconds'] / 60:.0f} minutes of training"
    return f"The search: {search['runs']} runs, {search['steps']} optimizer steps, {minutes}."


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


def _by_step(facts: Mapping[str, Any], drawn: Sequence[str], labels: Labels) -> Markup:
    """The validation bound over the steps, each method at its best rate, averaged over the seeds."""
    series = []
    for method in drawn:
        best = facts["best"][method]
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
            told = " (one seed tells nothing)" if _of_one_seed(best) else ""
            text += f"; rates from {rate_text(alike[0])} to {rate_text(alike[-1])} cannot be told apart{told}"
        rates = _searched(facts, method)
        if len(rates) > 1 and best["learning_rate"] in (rates[0], rates[-1]):
            text += "; that is an end of the range, so a better rate may lie beyond"
        if method != first:
            steps = facts["steps_to_reach"][method]
            reach = "does not reach" if steps is None else f"needs {steps:.0f} steps to reach"
            text += f"; it {reach} the final bound of {system_title(first)}"
            if method in facts.get("minus_reference", {}):
                text += f", and ends {_signed(facts['minus_reference'][method])} nats beside it, paired by seed"
        sentences.append(f"{text}.")
    if cost := _cost(facts):
        sentences.append(cost)
    return sentences


def _signed(difference: Mapping[str, float | None]) -> str:
    """A difference with its interval, where there is one: −0.013 [−0.029, +0.003]."""
    value, *interval = (
        f"{number:+.3f}".replace("-", "−")
        for number in (difference[key] for key in ("difference", "low", "high"))
        if number is not None
    )
    return f"{value} [{', '.join(interval)}]" if interval else value
