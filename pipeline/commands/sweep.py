"""`python -m pipeline sweep`: every method at every learning rate and seed."""

from __future__ import annotations

from typing import Annotated

import typer

from common.errors import InputError
from pipeline.options import (
    ArtifactsOption,
    MethodsOption,
    ProfileOption,
    SetOption,
    natural,
    positive,
    running,
    taking_turns,
    values,
)


def sweep(
    methods: MethodsOption = "lora,loraplus,pissa",
    learning_rates: Annotated[
        str, typer.Option("--learning-rates", help="Peak learning rates, with commas; of A for LoRA+.")
    ] = "1e-4,2e-4,4e-4,8e-4",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, with commas.")] = "1,2,3",
    halving: Annotated[
        bool, typer.Option("--halving", help="All rates for few steps, the better half for twice as many, ...")
    ] = False,
    search_seeds: Annotated[
        str | None,
        typer.Option("--search-seeds", help="Seeds of the short runs of --halving; default those of --seeds."),
    ] = None,
    equal_parameters: Annotated[
        bool,
        typer.Option("--equal-parameters", help="Choose ranks so that as many parameters learn as in the first."),
    ] = False,
    worker: Annotated[
        str | None,
        typer.Option("--worker", metavar="I/N", help="Train the I-th of N shares alone, from 0: one process per GPU."),
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Compare methods, each at its own best learning rate.

    Trains every method at every rate and seed; resumable. With several GPUs start `--worker 0/4` to `3/4`, each with
    its CUDA_VISIBLE_DEVICES, and then the same command without it, which reads what they trained.
    """
    turn = "sweep" if worker is None else f"sweep-{worker.replace('/', '-')}"
    with running("sweep", profile, overrides, artifacts) as (settings, paths), taking_turns(turn, paths):
        share = None if worker is None else _share(worker)
        names = values("--methods", methods, str)
        rates, numbers = values("--learning-rates", learning_rates, positive), values("--seeds", seeds, natural)
        if search_seeds is not None and not halving:
            raise InputError("--search-seeds: of the short runs of --halving; give --halving too, or leave it out")
        short = None if search_seeds is None else values("--search-seeds", search_seeds, natural)
        for name in names:
            settings.method(name)
        from adapters.methods import method_named
        from experiments.sweep import sweep as sweep_methods
        from experiments.sweep import with_equal_parameters
        from experiments.sweep_summary import show
        from pipeline.stages.train import training_plan
        from training.trainer import train

        for name in names:
            method_named(name)  # `lora-seed2` is an adapter of the profile; here the seeds are in --seeds
        plans = [training_plan(settings, paths, name) for name in names]
        plans = with_equal_parameters(plans) if equal_parameters else plans
        sweep_methods(plans, rates, numbers, paths.sweep, train, halving=halving, search_seeds=short, worker=share)
        if share is None:
            show(paths.sweep)


def _share(text: str) -> tuple[int, int]:
    """(I, N) of `I/N`; raises InputError for anything else."""
    number, _, workers = text.partition("/")
    if not (number.isdecimal() and workers.isdecimal() and len(workers) < 6 and int(number) < int(workers)):
        raise InputError(f"--worker: {text!r}; must be I/N with I from 0 to N - 1, for example 0/4")
    return int(number), int(workers)
