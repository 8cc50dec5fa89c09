"""What `--dry-run` prints: a training counted on the meta device, and whether it fits into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from common.errors import InputError
from common.progress import console, plain_console
from training.memory.estimate import GIB, Estimate, Machine, Memory, check_fits, estimate
from training.plan import TrainingPlan
from training.run.processes import Processes

if TYPE_CHECKING:
    from rich.console import Console


def dry_run(plan: TrainingPlan) -> None:
    """Print what `training.trainer.train` would do with this plan; train and write nothing.

    Raises:
        InputError: the run will not fit into memory; or what `train` would refuse.
        llada.errors.CheckpointError, OSError: the base has no usable config.json.
    """
    plan.check()
    result = estimate_of(plan, processes=int(os.environ.get("WORLD_SIZE", "1")))
    if os.environ.get("RANK", "0") == "0":
        grid = Table(show_header=False, box=None)
        for label, value in facts(plan, result):
            grid.add_row(label, value)
        out = plain_console()
        out.print(grid)
        print_memory(out, {"profile": result.memory}, result.machine)
    check_fits(result)


def check_memory(plan: TrainingPlan, processes: Processes, fits: bool) -> None:
    """Stop before the base is loaded where the run will not fit on a GPU; on a CPU, which may swap, only say so. Of a
    sharded base there is no estimate.

    Args:
        fits: the user knows better.

    Raises:
        InputError: as `dry_run`, with the option that starts the run all the same.
    """
    if fits or processes.sharded:
        return
    result = estimate_of(plan, processes.count)
    try:
        check_fits(result)
    except InputError as error:
        if result.machine.cuda:
            raise InputError(f"{error}; --ignore-memory starts it all the same") from None
        if processes.main:
            console.print(f"{plan.method_name}: {error}", soft_wrap=True)


def estimate_of(plan: TrainingPlan, processes: int = 1) -> Estimate:
    """The estimate of a plan on this machine; its rows and its base's config.json are read."""
    shape, lengths = plan.shape(), plan.rows.lengths
    return estimate(plan.method, plan.config, plan.model, plan.train, shape, lengths, plan.seed, processes=processes)


def facts(plan: TrainingPlan, result: Estimate) -> list[tuple[str, str]]:
    """What is counted and where it goes, label and value."""
    counts, lengths = result.workload.counts, result.workload.lengths
    return [
        ("method", plan.method_name),
        ("trainable parameters", f"{counts.trainable:,} of {counts.base:,}"),
        ("modules adapted", f"{counts.modules}"),
        ("training rows", f"{len(lengths):,}, the longest {int(lengths.max())} tokens"),
        ("tokens per epoch", f"{int(lengths.sum()):,}, {result.padding:.1%} padding beside them"),
        ("optimizer steps", f"{plan.total_steps:,} of {result.accumulation} forward passes per process"),
        ("adapter", str(plan.output)),
        ("resumable state", str(plan.run_folder)),
    ]


def print_memory(console: Console, estimates: Mapping[str, Memory], machine: Machine) -> None:
    """The memory by part of each way to store the base, in GiB, and what the machine has."""
    console.print("memory of one process at the worst noise level, GiB (ckpt: with activation checkpointing)")
    grid = Table(box=None, pad_edge=False)
    grid.add_column("base stored as", no_wrap=True)
    for label in (*next(iter(estimates.values())).parts(), "total", "fits"):
        grid.add_column(label, justify="right", no_wrap=True)
    for label, memory in estimates.items():
        sizes = [f"{size / GIB:.2f}" for size in (*memory.parts().values(), memory.total)]
        grid.add_row(label, *sizes, "yes" if memory.total <= machine.available else "no")
    console.print(grid)
    console.print(f"available: {machine.available / GIB:.2f} GiB on {machine.name}")
