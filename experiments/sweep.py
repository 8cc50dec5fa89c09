"""A matched sweep: every method at every learning rate and seed, so that methods are compared each at its own best
rate.

Resumable at two levels: a finished run leaves its adapter folder, which is read and not trained again while its
settings are the same, and an interrupted one continues from its checkpoint.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.config import MethodConfig
from adapters.methods import method_named
from common.files import atomic_path, read_json, write_json
from common.progress import console
from training.fingerprint import is_finished


@dataclass(frozen=True)
class Cell:
    """One run of the sweep."""

    method: str
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-lr{self.learning_rate:.2e}-seed{self.seed}"


def sweep(
    methods: Sequence[str],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    configs: dict[str, MethodConfig],
    arguments: dict[str, Any],
    output: Path,
    run: Callable[..., None],
) -> list[dict[str, Any]]:
    """Train every cell and write `output/sweep.json` (one record per run, the best rate of each method, and the steps
    each needs to reach the final bound of the first method) and `sweep.png`.

    Args:
        configs: the profile's settings of each method; only the learning rate is replaced.
        arguments: the other keyword arguments of `training.trainer.train`, without config, output and seed.
        run: `training.trainer.train`, or something that takes the same arguments.

    Returns:
        The records: method, learning_rate, seed, the bound (loss, low, high) of the best and the last validation, and
        the curve of (step, bound).

    Raises:
        InputError: an unknown method; or what `training.trainer.train` raises.
    """
    for name in methods:
        method_named(name)
    records = []
    for cell in (Cell(m, rate, seed) for seed in seeds for m in methods for rate in learning_rates):
        config = configs[cell.method].model_copy(update={"learning_rate": cell.learning_rate})
        folder = output / cell.name
        if not is_finished(folder, cell.method, config, cell.seed, **arguments):
            run(cell.method, config=config, output=folder, seed=cell.seed, **arguments)
        facts = read_json(folder / "run.json")
        records.append(
            {
                "method": cell.method,
                "learning_rate": cell.learning_rate,
                "seed": cell.seed,
                "steps": facts["steps"],
                "best": facts["validation"]["best"],
                "last": facts["validation"]["last"],
                "curve": _validation_curve(folder / "curve.csv"),
            }
        )
        write_json(output / "sweep.json", summary(records, methods[0]))
    plot(records, output / "sweep.png")
    return records


def summary(records: Sequence[dict[str, Any]], reference: str) -> dict[str, Any]:
    """What `sweep.json` holds: the runs, and the methods each at its best rate, beside the reference method."""
    return {
        "runs": list(records),
        "best": best_rates(records),
        "steps_to_reach": steps_to_reach(records, reference),
        "minus_reference": minus_reference(records, reference),
    }


def best_rates(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per method the rate whose final bound, averaged over the seeds, is lowest, with that mean and its spread over
    seeds.
    """
    found = {}
    for method in dict.fromkeys(record["method"] for record in records):
        means = {rate: _bounds(records, method, rate) for rate in _rates(records, method)}
        rate = min(means, key=lambda one: statistics.fmean(means[one]))
        found[method] = {
            "learning_rate": rate,
            "bound": statistics.fmean(means[rate]),
            "deviation": statistics.stdev(means[rate]) if len(means[rate]) > 1 else 0.0,
            "seeds": len(means[rate]),
        }
    return found


def steps_to_reach(records: Sequence[dict[str, Any]], reference: str) -> dict[str, float | None]:
    """Per method, at its best rate and averaged over the seeds: the first validated step whose bound is at most the
    reference method's final one; None where it never is.
    """
    best = best_rates(records)
    target = best[reference]["bound"]
    found = {}
    for method, chosen in best.items():
        curves = [
            dict(record["curve"])
            for record in records
            if record["method"] == method and record["learning_rate"] == chosen["learning_rate"]
        ]
        shared = sorted(set(curves[0]).intersection(*curves[1:]))
        reached = (step for step in shared if statistics.fmean(curve[step] for curve in curves) <= target)
        found[method] = next(reached, None)
    return found


def minus_reference(records: Sequence[dict[str, Any]], reference: str) -> dict[str, dict[str, float | None]]:
    """Per method its final bound minus that of the reference method, each at its best rate and paired by seed: the mean
    with a 95% t interval over the seeds (None with one seed, or where all differ by the same).
    """
    best = best_rates(records)
    finals = {
        method: {
            record["seed"]: record["last"]["loss"]
            for record in records
            if record["method"] == method and record["learning_rate"] == chosen["learning_rate"]
        }
        for method, chosen in best.items()
    }
    found = {}
    for method in (name for name in finals if name != reference):
        seeds = finals[method].keys() & finals[reference].keys()
        if not seeds:
            continue
        differences = [finals[method][seed] - finals[reference][seed] for seed in sorted(seeds)]
        interval = _t_interval(differences)
        found[method] = {"difference": statistics.fmean(differences), "low": interval[0], "high": interval[1]}
    return found


def _t_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The 95% t interval of the mean; nothing where the values show no spread."""
    if len(set(values)) < 2:
        return None, None
    from scipy.stats import ttest_1samp

    low, high = ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(low), float(high)


def show(folder: Path) -> None:
    """Print what `sweep` wrote into the folder: a table of the final bounds, and each method at its best rate."""
    from rich.table import Table

    facts = read_json(folder / "sweep.json")
    grid = Table("method", "learning rate", "seeds", "final validation bound", "spread over seeds")
    for method in facts["best"]:
        for rate in _rates(facts["runs"], method):
            bounds = _bounds(facts["runs"], method, rate)
            best = rate == facts["best"][method]["learning_rate"]
            spread = f"{min(bounds):.4f} to {max(bounds):.4f}"
            mean = f"{statistics.fmean(bounds):.4f}"
            grid.add_row(method, f"{rate:.2e}", str(len(bounds)), mean, spread, style="bold" if best else "")
    console.print(grid)
    reference = next(iter(facts["best"]))
    for method, steps in facts["steps_to_reach"].items():
        words = "never reaches it" if steps is None else f"reaches it after {steps} steps"
        console.print(f"{method} at its best rate, against the final bound of {reference}: {words}", soft_wrap=True)
    for method, entry in facts["minus_reference"].items():
        interval = "" if entry["low"] is None else f" [{entry['low']:+.3f}, {entry['high']:+.3f}]"
        console.print(f"{method} minus {reference}: {entry['difference']:+.3f}{interval}", soft_wrap=True)
    console.print(f"{folder / 'sweep.json'}, {folder / 'sweep.png'}", soft_wrap=True)


def plot(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Final validation bound against learning rate, a line per method through the mean over seeds, a dot per run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for method in dict.fromkeys(record["method"] for record in records):
        rates = _rates(records, method)
        means = [statistics.fmean(_bounds(records, method, rate)) for rate in rates]
        (line,) = axes.plot(rates, means, label=method_named(method).title)
        own = [record for record in records if record["method"] == method]
        axes.scatter([r["learning_rate"] for r in own], [r["last"]["loss"] for r in own], s=14, color=line.get_color())
    axes.set_xscale("log")
    axes.set_xlabel("peak learning rate (of A)")
    axes.set_ylabel("validation bound, nats per answer token")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
    pyplot.close(figure)


def _validation_curve(path: Path) -> list[list[float]]:
    """[step, validation bound] of every validation in an adapter folder's curve.csv."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [[int(row["step"]), float(row["validation_loss"])] for row in rows if row["validation_loss"]]


def _rates(records: Sequence[dict[str, Any]], method: str) -> list[float]:
    return sorted({record["learning_rate"] for record in records if record["method"] == method})


def _bounds(records: Sequence[dict[str, Any]], method: str, rate: float) -> list[float]:
    return [r["last"]["loss"] for r in records if r["method"] == method and r["learning_rate"] == rate]
