"""`python -m pipeline sweep`: every method at every learning rate and seed."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.options import ArtifactsOption, MethodsOption, ProfileOption, SetOption, positive, running, values


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
    """Train each method at each learning rate and seed; compare each at its own best rate. Resumable."""
    with running("sweep", profile, overrides, artifacts) as (settings, paths):
        names = values("--methods", methods, str)
        rates, numbers = values("--learning-rates", learning_rates, positive), values("--seeds", seeds, int)
        configs = {method: settings.method(method) for method in names}
        from experiments.sweep import show
        from experiments.sweep import sweep as sweep_methods
        from pipeline.stages.train import train_arguments
        from training.trainer import train

        arguments = train_arguments(settings, paths, names[0])
        for varied in ("config", "output", "seed"):
            del arguments[varied]
        sweep_methods(names, rates, numbers, configs=configs, arguments=arguments, output=paths.sweep, run=train)
        show(paths.sweep)
