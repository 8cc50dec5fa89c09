"""How the bound falls with rows, rank, trainable parameters and compute, and with passes over the same rows.

Each point is a normal training, made from a method's plan: on the first N rows of one fixed shuffle (so smaller sets
are parts of larger ones), at another rank with the profile's scaling of the update, or for other epochs. Resumable as
the sweep is: a finished point is read, an interrupted one goes on from its checkpoint.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, FiniteFloat
from safetensors import safe_open

from adapters.config import MethodConfig
from common.errors import InputError
from common.files import atomic_path, model_files, read_json, write_json
from experiments.scaling_laws import Record, summary
from experiments.sweep import Bounds
from training.plan import TrainingPlan, is_finished, refuse_misfits

SHUFFLE = 0
"""Seed of the order in which rows are taken: the same for every point and seed."""


class Outcome(BaseModel):
    """What is read of a finished point's run.json."""

    model_config = ConfigDict(extra="allow")
    steps: int
    tokens_seen: int
    trainable_parameters: int
    training_seconds: FiniteFloat
    validation: Bounds


@dataclass(frozen=True)
class Point:
    """One training: a system's plan with these rows, this rank, these epochs and this seed."""

    system: str
    plan: TrainingPlan
    rows: int
    rank: int
    epochs: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.system}-rows{self.rows}-rank{self.rank}-epochs{self.epochs:g}-seed{self.seed}"

    @property
    def ranked(self) -> MethodConfig:
        """The plan's method at this rank, the scaling as it was."""
        plan, old = self.plan, self.plan.config
        ranked = old.model_copy(update={"rank": self.rank})
        if plan.method.has_alpha:  # the scaling is linear in it
            alpha = plan.method.scaling(old) / plan.method.scaling(ranked.model_copy(update={"alpha": 1.0}))
            ranked = ranked.model_copy(update={"alpha": alpha})
        return ranked

    def plan_in(self, folder: Path) -> TrainingPlan:
        """What to train, with the adapter below `folder`."""
        plan = self.plan
        return replace(
            plan,
            config=self.ranked,
            train=plan.train.model_copy(update={"epochs": self.epochs}),
            formatted=first_rows(plan, self.rows),
            seed=self.seed,
            output=folder / self.name,
        )


def points(
    plans: dict[str, TrainingPlan], rows: Sequence[int], ranks: Sequence[int], seeds: Sequence[int]
) -> list[Point]:
    """The grid of rows and ranks for every system, at its plan's epochs; the cheapest first."""
    grid = itertools.product(seeds, sorted(rows), sorted(ranks), plans.items())
    return [Point(name, plan, n, rank, plan.train.epochs, seed) for seed, n, rank, (name, plan) in grid]


def repeated(plans: dict[str, TrainingPlan], rows: int, epochs: Sequence[float], seeds: Sequence[int]) -> list[Point]:
    """The second axis: passes over the same rows, at each plan's own rank."""
    grid = itertools.product(seeds, sorted(epochs), plans.items())
    return [Point(name, plan, rows, plan.config.rank, passes, seed) for seed, passes, (name, plan) in grid]


def scale(wanted: Sequence[Point], output: Path, train: Callable[[TrainingPlan], None]) -> list[Record]:
    """Train what is not there yet, and write `output/scale.json`: the runs, and the laws. It is written too where
    a training is interrupted or fails.

    Args:
        train: `training.trainer.train`, or what stands in for it.

    Raises:
        InputError: fewer rows than a point asks for; or what `train` raises.
    """
    records: dict[str, Record] = {}
    for point in wanted:
        if point.rows > len(point.plan.rows):
            raise InputError(f"--rows {point.rows}: the training split has {len(point.plan.rows)} rows; take fewer")
    refuse_misfits(replace(point.plan, config=point.ranked) for point in wanted)
    try:
        for point in wanted:
            plan = point.plan_in(output)
            if not is_finished(plan):
                train(plan)
            records[point.name] = record_of(point, plan)
    finally:
        if records:
            write_json(output / "scale.json", summary(list(records.values())))
    return list(records.values())


def record_of(point: Point, plan: TrainingPlan) -> Record:
    """What came out of a finished point.

    Raises:
        InputError: its run.json is not what a training writes.
    """
    try:
        found = Outcome.model_validate(read_json(plan.output / "run.json"))
    except ValueError:
        raise InputError(f"{plan.output}/run.json: not what a training writes; delete the folder and go on") from None
    return Record(
        system=point.system,
        rows=point.rows,
        rank=point.rank,
        epochs=point.epochs,
        seed=point.seed,
        steps=found.steps,
        parameters=found.trainable_parameters,
        compute=found.tokens_seen * (4.0 * stored_weights(plan.base) + 6.0 * found.trainable_parameters),
        seconds=found.training_seconds,
        bound=found.validation.best.loss,
        last=found.validation.last.loss,
    )


def stored_weights(base: Path) -> int:
    """How many weights a base has, from its safetensors files alone.

    A frozen weight takes 4 operations a token: 2 forward, 2 for the gradient that passes through; a trained one 6.
    """
    total = 0
    for path in (file for file in model_files(base) if file.suffix == ".safetensors"):
        with safe_open(path, framework="numpy") as file:
            total += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    return total


def first_rows(plan: TrainingPlan, rows: int) -> Path:
    """A folder of formatted splits with so many training rows, beside the training's scratch files."""
    folder = plan.scratch / "scale" / f"{plan.data['train'][:16]}-{rows}"
    if (folder / "train.parquet").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(plan.formatted / "train.parquet")
    kept = np.sort(np.random.default_rng(SHUFFLE).permutation(table.num_rows)[:rows])
    with atomic_path(folder / "validation.parquet") as temporary:
        shutil.copyfile(plan.formatted / "validation.parquet", temporary)
    with atomic_path(folder / "train.parquet") as temporary:
        pq.write_table(table.take(kept), temporary, compression="zstd")
    return folder
