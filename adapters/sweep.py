"""A matched sweep: every method at every learning rate and seed, so that methods are compared each at its own best
rate.

Resumable at two levels: a finished run leaves its adapter folder, which is read and not trained again while its
settings are the same, and an interrupted one continues from its checkpoint.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.config import MethodConfig
from adapters.fingerprint import data_hashes, run_settings
from adapters.methods import method_named
from common.files import atomic_path, read_json, write_json


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
    """Train every cell and write `output/sweep.json` (one record per run, and the best rate of each method) and
    `sweep.png`.

    Args:
        configs: the profile's settings of each method; only the learning rate is replaced.
        arguments: the other keyword arguments of `adapters.trainer.train`, without config, output and seed.
        run: `adapters.trainer.train`, or something that takes the same arguments.

    Returns:
        The records: method, learning_rate, seed, and the bound (loss, low, high) of the best and the last validation.
    """
    for name in methods:
        method_named(name)
    records = []
    for cell in (Cell(m, rate, seed) for seed in seeds for m in methods for rate in learning_rates):
        config = configs[cell.method].model_copy(update={"learning_rate": cell.learning_rate})
        folder = output / cell.name
        if not _finished(folder, cell, config, arguments):
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
            }
        )
        write_json(output / "sweep.json", {"runs": records, "best": best_rates(records)})
    plot(records, output / "sweep.png")
    return records


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


def _finished(folder: Path, cell: Cell, config: MethodConfig, arguments: dict[str, Any]) -> bool:
    """Whether the folder holds the result of exactly this run."""
    if not (folder / "run.json").is_file():
        return False
    facts = read_json(folder / "run.json")
    return (
        facts["method"] == cell.method
        and facts["seed"] == cell.seed
        and facts["settings"] == run_settings(arguments["model"], arguments["train"], config)
        and facts["data"]["sha256"] == data_hashes(arguments["formatted"])
        and facts["base"]["sha256"] == arguments["base_sha256"]
    )


def _rates(records: Sequence[dict[str, Any]], method: str) -> list[float]:
    return sorted({record["learning_rate"] for record in records if record["method"] == method})


def _bounds(records: Sequence[dict[str, Any]], method: str, rate: float) -> list[float]:
    return [r["last"]["loss"] for r in records if r["method"] == method and r["learning_rate"] == rate]
