"""The report's section on a matched sweep of learning rates, from the sweep.json of `python -m pipeline sweep`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from eval.report import charts
from eval.report.load import TITLES

Bounds = dict[float, list[float]]  # learning rate -> final bound of each seed


def sweep_section(facts: Mapping[str, Any], styles: Mapping[str, str]) -> dict[str, Any]:
    """Charts, table and sentences of one sweep.

    Args:
        facts: `runs` (method, learning_rate, seed, last bound, curve), `best` and `steps_to_reach` per method.
        styles: the marks of the evaluated systems; further methods get the marks after these.
    """
    methods: list[str] = list(facts["best"])
    marks = dict(styles)
    for method in methods:
        marks.setdefault(method, f"s{len(marks)}")
    titles = {method: TITLES.get(method, method) for method in methods}
    bounds = {method: _bounds(facts, method) for method in methods}
    return {
        "methods": methods,
        "titles": titles,
        "marks": {method: charts.marker_svg(marks[method]) for method in methods},
        "panels": [panel for panel in (_by_rate(bounds, titles, marks), _by_step(facts, titles, marks)) if panel],
        "rows": [
            {
                "title": titles[method],
                "rate": charts.rate_text(rate),
                "seeds": len(found),
                "mean": f"{statistics.fmean(found):.3f}",
                "spread": f"{min(found):.3f} to {max(found):.3f}" if len(found) > 1 else "–",
                "best": rate == facts["best"][method]["learning_rate"],
            }
            for method in methods
            for rate, found in bounds[method].items()
        ],
        "sentences": _sentences(facts, bounds, titles),
    }


def _bounds(facts: Mapping[str, Any], method: str) -> Bounds:
    """Final bounds by learning rate, rates ascending."""
    runs = [run for run in facts["runs"] if run["method"] == method]
    return {
        rate: [run["last"]["loss"] for run in runs if run["learning_rate"] == rate]
        for rate in sorted({run["learning_rate"] for run in runs})
    }


def _by_rate(bounds: Mapping[str, Bounds], titles: Mapping[str, str], marks: Mapping[str, str]) -> Any:
    """Mean final bound over the logarithm of the rate, the band from the best seed to the worst."""
    series = []
    for method, by_rate in bounds.items():
        found = list(by_rate.values())
        several = any(len(values) > 1 for values in found)
        series.append(
            charts.Series(
                titles[method],
                marks[method],
                [math.log10(rate) for rate in by_rate],
                [statistics.fmean(values) for values in found],
                [min(values) for values in found] if several else (),
                [max(values) for values in found] if several else (),
            )
        )
    rates = sorted({rate for by_rate in bounds.values() for rate in by_rate})
    names = [(math.log10(rate), charts.rate_text(rate)) for rate in _spread(rates)]
    note = "band: all seeds" if any(one.low for one in series) else "one seed"
    return charts.line_chart(
        "Final bound by learning rate", note, series, "peak learning rate, logarithmic", "nats per token", x_names=names
    )


def _spread(rates: list[float]) -> list[float]:
    """At most five of the rates, evenly chosen, so that their names do not touch."""
    return rates[:: max(1, math.ceil(len(rates) / 5))]


def _by_step(facts: Mapping[str, Any], titles: Mapping[str, str], marks: Mapping[str, str]) -> Any:
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
        series.append(charts.Series(titles[method], marks[method], steps, means))
    return charts.line_chart("At the best rate", "mean over seeds", series, "optimizer step", "nats per token")


def _sentences(facts: Mapping[str, Any], bounds: Mapping[str, Bounds], titles: Mapping[str, str]) -> list[str]:
    first = next(iter(facts["best"]))
    sentences = []
    for method, best in facts["best"].items():
        rate = charts.rate_text(best["learning_rate"])
        text = f"{titles[method]} is best at {rate}: {best['bound']:.3f} nats per token"
        if best["seeds"] > 1:
            text += f", standard deviation over {best['seeds']} seeds {best['deviation']:.3f}"
        rates = list(bounds[method])
        if len(rates) > 1 and best["learning_rate"] in (rates[0], rates[-1]):
            text += "; that is an end of the range, so a better rate may lie beyond"
        if method != first:
            steps = facts["steps_to_reach"][method]
            reach = "does not reach" if steps is None else f"needs {steps:.0f} steps to reach"
            text += f"; it {reach} the final bound of {titles[first]}"
            if method in facts.get("minus_reference", {}):
                text += f", and ends {_signed(facts['minus_reference'][method])} nats beside it, paired by seed"
        sentences.append(f"{text}.")
    return sentences


def _signed(difference: Mapping[str, float | None]) -> str:
    """A difference with its interval, where there is one: −0.013 [−0.029, +0.003]."""
    value, *interval = (
        f"{number:+.3f}".replace("-", "−")
        for number in (difference[key] for key in ("difference", "low", "high"))
        if number is not None
    )
    return f"{value} [{', '.join(interval)}]" if interval else value
