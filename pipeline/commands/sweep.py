"""`python -m pipeline sweep`: every method at every learning rate and seed."""

from __future__ import annotations

from typing import Annotated

import typer

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
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Compare methods, each at its own best learning rate.

    Trains every method at every rate and seed; resumable.
    """
    with running("sweep", profile, overrides, artifacts) as (settings, paths), taking_turns("sweep", paths):
        names = values("--methods", methods, str)
        rates, numbers = values("--learning-rates", learning_rates, positive), values("--seeds", seeds, natural)
        for name in names:
            settings.method(name)
        from adapters.methods import method_named
        from experiments.sweep import sweep as sweep_methods
        from experiments.sweep_summary import show
        from pipeline.stages.train import training_plan
        from training.trainer import train

        for name in names:
            method_named(name)  # `lora-seed2` is an adapter of the profile; here the seeds are in --seeds
        plans = [training_plan(settings, paths, name) for name in names]
        sweep_methods(plans, rates, numbers, paths.sweep, train)
        show(paths.sweep)
