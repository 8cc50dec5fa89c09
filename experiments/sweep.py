"""A matched sweep: every method at every learning rate and seed, so that methods are compared each at its own best
rate.

Resumable at two levels: a finished run leaves its adapter folder, which is read and not trained again while its
settings are the same, and an interrupted one continues from its checkpoint.

Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943) spends less: all rates for a fraction of the steps,
the better half of each method's rates for twice as many, and so on; one rate of each method is trained in full. A short
training has its own whole schedule, so its bound is that of a short training.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat

from adapters.methods import method_named
from common.errors import InputError
from common.files import read_json, write_json
from common.progress import console
from experiments.sweep_summary import SweepRecord, plot, summary
from training.memory.estimate import count
from training.plan import TrainingPlan, is_finished, refuse_misfits


class Bound(BaseModel):
    """A validation in run.json; what else stands there is kept."""

    model_config = ConfigDict(extra="allow")
    loss: FiniteFloat
    step: int


class Bounds(BaseModel):
    """The validations that the sweep compares."""

    best: Bound
    last: Bound


class Outcome(BaseModel):
    """What the sweep reads of run.json."""

    steps: int
    training_seconds: FiniteFloat = 0.0
    trainable_parameters: int = 0
    validation: Bounds


@dataclass(frozen=True)
class SweepRun:
    """One run of the sweep: a method's plan with this learning rate and seed."""

    plan: TrainingPlan
    learning_rate: float
    seed: int
    steps: int | None = None
    """Of a shortened training; None is the whole one."""

    @property
    def name(self) -> str:
        shortened = "" if self.steps is None else f"-steps{self.steps}"
        return f"{self.plan.method_name}-lr{self.learning_rate:.2e}-seed{self.seed}{shortened}"

    def plan_in(self, folder: Path) -> TrainingPlan:
        """What to train, with the adapter below `folder`."""
        config = self.plan.config.model_copy(update={"learning_rate": self.learning_rate})
        train = self.plan.train
        if self.steps is not None:
            validations = max(1, min(train.validate_every, self.steps))
            train = train.model_copy(update={"max_steps": self.steps, "validate_every": validations})
        return replace(self.plan, config=config, train=train, seed=self.seed, output=folder / self.name)


def sweep(
    plans: Sequence[TrainingPlan],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    output: Path,
    train: Callable[[TrainingPlan], None],
    *,
    halving: bool = False,
    search_seeds: Sequence[int] | None = None,
    worker: tuple[int, int] | None = None,
) -> list[SweepRecord]:
    """Train every run and write `output/sweep.json` (one record per run, the best rate of each method, and the steps
    each needs to reach the final bound of the first method) and `sweep.png`.

    Args:
        plans: one of each method; learning rate, seed and output are replaced. The first is the reference.
        train: `training.trainer.train`, or what stands in for it.
        halving: choose among the rates by successive halving.
        search_seeds: of the shortened runs; None takes `seeds`. Others than these keep the choice of a rate out of the
            comparison: a bound that was chosen as the lowest is lower than its mean.
        worker: (number, workers): train this share of the runs alone, and write no summary; one process per GPU.

    Returns:
        The whole trainings, without the shortened ones.

    Raises:
        InputError: an unknown method; or what `training.trainer.train` raises.
    """
    for plan in plans:
        method_named(plan.method_name)
    rates, rungs = {plan.method_name: list(learning_rates) for plan in plans}, list[SweepRecord]()
    refuse_misfits(run.plan_in(output) for run in _runs(plans, rates, seeds))
    if halving:
        if worker is not None:
            raise InputError("--worker: halving compares all runs of a rung before the next; give --worker without it")
        for steps in halved_steps(plans[0].total_steps, len(learning_rates)):
            records = _trained(
                _runs(plans, rates, seeds if search_seeds is None else search_seeds, steps), output, train
            )
            rungs += records
            rates = {method: better_half(records, method) for method in rates}
            console.print(f"after {steps} steps: {_listed(rates)}", soft_wrap=True)
    runs = list(_runs(plans, rates, seeds))
    if worker is not None:
        return _trained(runs[worker[0] :: worker[1]], output, train)
    records = []
    for run in runs:
        records += _trained([run], output, train)
        write_json(output / "sweep.json", summary(records, plans[0].method_name, rungs))
    plot(records, output / "sweep.png", rungs)
    return records


def _runs(
    plans: Sequence[TrainingPlan], rates: Mapping[str, Sequence[float]], seeds: Sequence[int], steps: int | None = None
) -> Iterator[SweepRun]:
    return (SweepRun(plan, rate, seed, steps) for seed in seeds for plan in plans for rate in rates[plan.method_name])


def _trained(runs: Iterable[SweepRun], output: Path, train: Callable[[TrainingPlan], None]) -> list[SweepRecord]:
    records = []
    for run in runs:
        plan = run.plan_in(output)
        if not is_finished(plan):
            train(plan)
        records.append(record_of(run, plan.output))
    return records


def halved_steps(total: int, rates: int) -> list[int]:
    """Steps of the shortened trainings: as many halvings as bring so many rates down to one.

    >>> halved_steps(1000, 4)
    [250, 500]
    """
    rungs = max(0, (rates - 1).bit_length())
    return [max(1, total >> (rungs - rung)) for rung in range(rungs)]


def better_half(records: Sequence[SweepRecord], method: str) -> list[float]:
    """The half (rounded up) of a method's rates with the lower final bounds, averaged over the seeds; best first."""
    own = [record for record in records if record.method == method]
    rates = {record.learning_rate for record in own}
    means = {rate: statistics.fmean(run.final_bound for run in own if run.learning_rate == rate) for rate in rates}
    return sorted(rates, key=lambda rate: (means[rate], rate))[: (len(rates) + 1) // 2]


def _listed(rates: Mapping[str, Sequence[float]]) -> str:
    return "; ".join(f"{method} keeps {', '.join(f'{rate:.2e}' for rate in kept)}" for method, kept in rates.items())


def with_equal_parameters(plans: Sequence[TrainingPlan]) -> list[TrainingPlan]:
    """The plans with the rank of each chosen so that as many parameters learn as in the first, as near as ranks come.

    The scaling stays: alpha grows with the rank (rank-stabilised: with its root).
    """
    target = count(plans[0].shape(), plans[0].method, plans[0].config).trainable
    return [plans[0], *(_of_size(plan, target) for plan in plans[1:])]


def _of_size(plan: TrainingPlan, target: int) -> TrainingPlan:
    config, shape = plan.config, plan.shape()
    step = config.blocks if plan.method.form == "gralora" else 1

    def trainable(rank: int) -> int:
        return count(shape, plan.method, config.model_copy(update={"rank": rank})).trainable

    one, two = trainable(step), trainable(2 * step)  # a straight line in the rank
    rank = step * max(1, round((target - (2 * one - two)) / (two - one)))
    alpha = config.alpha
    if alpha is not None:
        alpha = alpha * (rank / config.rank) ** (0.5 if plan.method.rank_stabilised else 1)
    return replace(plan, config=config.model_copy(update={"rank": rank, "alpha": alpha}))


def record_of(run: SweepRun, adapter: Path) -> SweepRecord:
    """What came out of a finished run, from its adapter folder.

    Raises:
        InputError: its files are not what a training writes.
    """
    try:
        outcome = Outcome.model_validate(read_json(adapter / "run.json"))
        curve = validation_curve(adapter / "curve.csv")
    except InputError:
        raise
    except (ValueError, KeyError, csv.Error):
        raise InputError(
            f"{adapter}: run.json and curve.csv are not what a training writes; delete the folder and sweep again"
        ) from None
    bounds = outcome.validation
    return SweepRecord(
        method=run.plan.method_name,
        learning_rate=run.learning_rate,
        seed=run.seed,
        steps=outcome.steps,
        seconds=outcome.training_seconds,
        parameters=outcome.trainable_parameters,
        best=bounds.best.model_dump(),
        last=bounds.last.model_dump(),
        curve=curve,
    )


def validation_curve(path: Path) -> list[tuple[int, float]]:
    """(step, validation bound) of every validation in an adapter folder's curve.csv."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [(int(row["step"]), float(row["validation_loss"])) for row in rows if row["validation_loss"]]
