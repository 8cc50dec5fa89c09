"""What came out of a sweep: each method's best learning rate, and how the methods compare there."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from adapters.methods import method_named
from common.files import atomic_path, read_json
from common.progress import console
from eval.metrics.statistics import holm


@dataclass(frozen=True)
class SweepRecord:
    """One run of the sweep and its outcome; an entry of `runs` in sweep.json."""

    method: str
    learning_rate: float
    seed: int
    steps: int
    best: dict[str, Any]  # validation as in run.json: loss, low, high, step
    last: dict[str, Any]
    curve: Sequence[tuple[float, float]]  # (step, validation bound)
    seconds: float = 0.0  # of training
    parameters: int = 0  # that learn

    @property
    def final_bound(self) -> float:
        return self.last["loss"]


Records = Sequence[SweepRecord]


def summary(records: Records, reference: str, rungs: Records = ()) -> dict[str, Any]:
    """What `sweep.json` holds: the runs, and the methods each at its best rate, beside the reference method; the
    shortened runs before them, and what all of it cost.
    """
    every = [*rungs, *records]
    shortened = ("method", "learning_rate", "seed", "steps")
    return {
        "search": {
            "runs": len(every),
            "steps": sum(run.steps for run in every),
            "seconds": sum(run.seconds for run in every),
        },
        "shortened": [{key: getattr(run, key) for key in shortened} | {"bound": run.final_bound} for run in rungs],
        "runs": [asdict(record) for record in records],
        "best": best_rates(records, rungs),
        "steps_to_reach": steps_to_reach(records, reference),
        "minus_reference": minus_reference(records, reference),
    }


def best_rates(records: Records, rungs: Records = ()) -> dict[str, dict[str, Any]]:
    """Per method the rate whose final bound, averaged over the seeds, is lowest, with that mean and its spread over
    seeds; the rates that were tried, shortened runs included; and those that cannot be told from the best, see
    `_indistinct`.
    """
    best = {}
    for method in _methods(records):
        bounds = {rate: _bounds(records, method, rate) for rate in _rates(records, method)}
        rate = min(bounds, key=lambda one: statistics.fmean(bounds[one]))
        own = [run for run in (*rungs, *records) if run.method == method]
        alike, paired = _indistinct(own, rate)
        best[method] = {
            "learning_rate": rate,
            "bound": statistics.fmean(bounds[rate]),
            "deviation": statistics.stdev(bounds[rate]) if len(bounds[rate]) > 1 else 0.0,
            "seeds": len(bounds[rate]),
            "parameters": max(run.parameters for run in records if run.method == method),
            "rates": _rates(own, method),
            "rates_alike": alike,
            "seeds_of_rates": paired,
        }
    return best


def _indistinct(runs: Records, best: float) -> tuple[list[float], int]:
    """The rates whose bound, paired by seed with that at the best one, differs by an interval (95%, t) that holds 0,
    the best among them; and the fewest seeds of a pair. Runs of equal length are compared, the longest that both rates
    have. With one seed nothing can be told, and all rates are alike.
    """
    pairs = {rate: _differences(runs, rate, best) for rate in sorted({run.learning_rate for run in runs})}
    alike = [rate for rate, differences in pairs.items() if rate == best or _alike(differences)]
    return alike, min((len(differences) for rate, differences in pairs.items() if rate != best), default=0)


def _differences(runs: Records, rate: float, best: float) -> list[float]:
    lengths = [{run.steps for run in runs if run.learning_rate == one} for one in (rate, best)]
    longest = max(lengths[0] & lengths[1], default=None)
    here, there = (
        {run.seed: run.final_bound for run in runs if run.steps == longest and run.learning_rate == one}
        for one in (rate, best)
    )
    return [here[seed] - there[seed] for seed in sorted(here.keys() & there.keys())]


def _alike(differences: Sequence[float]) -> bool:
    if len(differences) < 2:
        return True
    test = _paired(differences)
    return differences[0] == 0 if test is None else test.low <= 0 <= test.high


def steps_to_reach(records: Records, reference: str) -> dict[str, float | None]:
    """Per method, at its best rate and averaged over the seeds: the first validated step whose bound is at most the
    reference method's final one; None where it never is.
    """
    target = best_rates(records)[reference]["bound"]
    steps = {}
    for method, runs in _at_best_rates(records).items():
        curves = [dict(run.curve) for run in runs]
        shared = sorted(set(curves[0]).intersection(*curves[1:]))
        reached = (step for step in shared if statistics.fmean(curve[step] for curve in curves) <= target)
        steps[method] = next(reached, None)
    return steps


def minus_reference(records: Records, reference: str) -> dict[str, dict[str, float | None]]:
    """Per method its final bound minus that of the reference method, each at its best rate and paired by seed: the mean
    with a 95% t interval over the seeds, and the p value of the paired t test, Holm-adjusted over the methods (None
    with one seed, or where all differ by the same).
    """
    finals = {method: {run.seed: run.final_bound for run in runs} for method, runs in _at_best_rates(records).items()}
    comparisons: dict[str, dict[str, float | None]] = {}
    p_values = {}
    for method in (name for name in finals if name != reference):
        seeds = finals[method].keys() & finals[reference].keys()
        if not seeds:
            continue
        differences = [finals[method][seed] - finals[reference][seed] for seed in sorted(seeds)]
        entry: dict[str, float | None] = {"difference": statistics.fmean(differences)}
        test = _paired(differences)
        if test is None:
            comparisons[method] = entry | {"low": None, "high": None, "p_adjusted": None}
            continue
        p_values[method] = test.p
        comparisons[method] = entry | {"low": test.low, "high": test.high}
    for method, p in zip(p_values, holm(list(p_values.values())), strict=True):
        comparisons[method]["p_adjusted"] = p
    return comparisons


def show(folder: Path) -> None:
    """Print what `sweep` wrote into the folder: a table of the final bounds, and each method at its best rate."""
    from rich.table import Table

    facts = read_json(folder / "sweep.json")
    records = [SweepRecord(**run) for run in facts["runs"]]
    grid = Table("method", "learning rate", "seeds", "final validation bound", "spread over seeds")
    for method in facts["best"]:
        for rate in _rates(records, method):
            bounds = _bounds(records, method, rate)
            best = rate == facts["best"][method]["learning_rate"]
            spread = f"{min(bounds):.4f} to {max(bounds):.4f}"
            mean = f"{statistics.fmean(bounds):.4f}"
            grid.add_row(method, f"{rate:.2e}", str(len(bounds)), mean, spread, style="bold" if best else "")
    console.print(grid)
    for method, best in facts["best"].items():
        alike = best["rates_alike"]
        if len(alike) > 1:
            told = " (one seed tells nothing)" if best["seeds_of_rates"] < 2 else ""
            rates = f"rates from {alike[0]:.2e} to {alike[-1]:.2e}"
            console.print(f"{method}: {rates} cannot be told apart{told}", soft_wrap=True)
    search = facts["search"]
    console.print(
        f"the search: {search['runs']} runs, {search['steps']} steps, {search['seconds'] / 60:.0f} minutes of training"
    )
    reference = next(iter(facts["best"]))
    for method, steps in facts["steps_to_reach"].items():
        outcome = "never reaches it" if steps is None else f"reaches it after {steps} steps"
        console.print(f"{method} at its best rate, against the final bound of {reference}: {outcome}", soft_wrap=True)
    for method, entry in facts["minus_reference"].items():
        interval = "" if entry["low"] is None else f" [{entry['low']:+.3f}, {entry['high']:+.3f}]"
        console.print(f"{method} minus {reference}: {entry['difference']:+.3f}{interval}", soft_wrap=True)
    console.print(f"{folder / 'sweep.json'}, {folder / 'sweep.png'}", soft_wrap=True)


def plot(records: Records, path: Path, rungs: Records = ()) -> None:
    """Left: the bound against the learning rate, a line per method through the mean over seeds, of the whole runs and,
    dashed, of the shortest ones. Right: every method at its best rate, a dot per seed and a bar at the mean.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    best = best_rates(records)
    colours = dict(zip(best, pyplot.get_cmap("tab20").colors * len(best), strict=False))  # pyright: ignore[reportAttributeAccessIssue]
    shortest = [run for run in rungs if run.steps == min(one.steps for one in rungs)]
    for method, colour in colours.items():
        for runs, style, name in ((shortest, "--", None), (records, "-", method_named(method).title)):
            rates = _rates([run for run in runs if run.method == method], method)
            means = [statistics.fmean(_bounds(runs, method, rate)) for rate in rates]
            left.plot(rates, means, style, marker="o", markersize=4, label=name, color=colour)
    left.set_xscale("log")
    left.set_xlabel("peak learning rate (of A)")
    left.set_ylabel("validation bound, nats per answer token")
    if shortest:
        left.set_title(f"solid: whole runs; dashed: {shortest[0].steps} steps", fontsize=9)
    left.legend(fontsize=8, ncols=2)
    ranked = sorted(best, key=lambda method: best[method]["bound"], reverse=True)
    for place, method in enumerate(ranked):
        bounds = _bounds(records, method, best[method]["learning_rate"])
        right.scatter(bounds, [place] * len(bounds), s=18, color=colours[method])
        right.plot([best[method]["bound"]] * 2, [place - 0.3, place + 0.3], color=colours[method])
    right.set_yticks(range(len(ranked)), [method_named(method).title for method in ranked])
    right.set_xlabel("final bound at the best rate, nats per answer token")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    pyplot.close(figure)


def _methods(records: Records) -> list[str]:
    return list(dict.fromkeys(run.method for run in records))


def _rates(records: Records, method: str) -> list[float]:
    return sorted({run.learning_rate for run in records if run.method == method})


def _bounds(records: Records, method: str, rate: float) -> list[float]:
    return [run.final_bound for run in records if run.method == method and run.learning_rate == rate]


def _at_best_rates(records: Records) -> dict[str, list[SweepRecord]]:
    """Each method's runs at its best rate."""
    best = best_rates(records)
    return {
        method: [run for run in records if run.method == method and run.learning_rate == chosen["learning_rate"]]
        for method, chosen in best.items()
    }


class _Paired(NamedTuple):
    low: float
    high: float
    p: float


def _paired(differences: Sequence[float]) -> _Paired | None:
    """The paired t test: 95% interval of the mean difference, and p; None where the differences show no spread but that
    of rounding.
    """
    if max(differences) - min(differences) <= 1e-9 * max(map(abs, differences)):
        return None
    from scipy.stats import ttest_1samp

    test: Any = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    return _Paired(float(low), float(high), float(test.pvalue))
