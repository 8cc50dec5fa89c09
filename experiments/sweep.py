"""A matched sweep: every method at every learning rate and seed, so that methods are compared each at its own best
rate.

Resumable at two levels: a finished run leaves its adapter folder, which is read and not trained again while its
settings are the same, and an interrupted one continues from its checkpoint.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.methods import method_named
from common.files import read_json, write_json
from experiments.sweep_summary import SweepRecord, plot, summary
from training.plan import TrainingPlan, is_finished


@dataclass(frozen=True)
class SweepRun:
    """One run of the sweep: a method's plan with this learning rate and seed."""

    plan: TrainingPlan
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.plan.method_name}-lr{self.learning_rate:.2e}-seed{self.seed}"

    def plan_in(self, folder: Path) -> TrainingPlan:
        """What to train, with the adapter below `folder`."""
        config = self.plan.config.model_copy(update={"learning_rate": self.learning_rate})
        return replace(self.plan, config=config, seed=self.seed, output=folder / self.name)


def sweep(
    plans: Sequence[TrainingPlan],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    output: Path,
    train: Callable[[TrainingPlan], None],
) -> list[SweepRecord]:
    """Train every run and write `output/sweep.json` (one record per run, the best rate of each method, and the steps
    each needs to reach the final bound of the first method) and `sweep.png`.

    Args:
        plans: one of each method; learning rate, seed and output are replaced. The first is the reference.
        train: `training.trainer.train`, or what stands in for it.

    Raises:
        InputError: an unknown method; or what `training.trainer.train` raises.
    """
    for plan in plans:
        method_named(plan.method_name)
    records = []
    for run in (SweepRun(plan, rate, seed) for seed in seeds for plan in plans for rate in learning_rates):
        plan = run.plan_in(output)
        if not is_finished(plan):
            train(plan)
        records.append(record_of(run, plan.output))
        write_json(output / "sweep.json", summary(records, plans[0].method_name))
    plot(records, output / "sweep.png")
    return records


def record_of(run: SweepRun, adapter: Path) -> SweepRecord:
    """What came out of a finished run, from its adapter folder."""
    facts = read_json(adapter / "run.json")
    return SweepRecord(
        method=run.plan.method_name,
        learning_rate=run.learning_rate,
        seed=run.seed,
        steps=facts["steps"],
        best=facts["validation"]["best"],
        last=facts["validation"]["last"],
        curve=validation_curve(adapter / "curve.csv"),
    )


def validation_curve(path: Path) -> list[tuple[int, float]]:
    """(step, validation bound) of every validation in an adapter folder's curve.csv."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [(int(row["step"]), float(row["validation_loss"])) for row in rows if row["validation_loss"]]
