"""`python -m pipeline scale`: how the bound falls with rows, rank and compute, and with passes over the same rows."""

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


def scale(
    methods: MethodsOption = "lora",
    rows: Annotated[
        str, typer.Option("--rows", metavar="N[,N2]", help="Training rows, with commas.")
    ] = "500,1000,2000,4000",
    ranks: Annotated[str, typer.Option("--ranks", metavar="R[,R2]", help="Ranks, with commas.")] = "2,8,32",
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, with commas.")] = "1,2,3",
    epochs: Annotated[
        str | None, typer.Option("--epochs", metavar="E[,E2]", help="Also so many passes over --epoch-rows rows.")
    ] = None,
    epoch_rows: Annotated[
        int | None, typer.Option("--epoch-rows", metavar="N", min=1, help="Default: the fewest of --rows.")
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Fit power laws to trainings of many sizes.

    Trains every size, rank and seed; resumable.
    """
    with running("scale", profile, overrides, artifacts) as (settings, paths), taking_turns("scale", paths):
        names, numbers = values("--methods", methods, str), values("--seeds", seeds, natural)
        sizes, widths = (counts(option, text) for option, text in (("--rows", rows), ("--ranks", ranks)))
        passes = [] if epochs is None else values("--epochs", epochs, positive)
        for name in names:
            settings.method(name)
        from experiments.scaling import points, repeated, scale
        from experiments.scaling_laws import plot, show
        from pipeline.stages.train import training_plan
        from training.trainer import train

        plans = {name: training_plan(settings, paths, name) for name in names}
        wanted = points(plans, sizes, widths, numbers)
        wanted += repeated(plans, epoch_rows or min(sizes), passes, numbers)
        scale(wanted, paths.scaling, train)
        plot(paths.scaling)
        show(paths.scaling)


def counts(option: str, text: str) -> list[int]:
    """Whole numbers from 1, with commas."""
    found = values(option, text, natural)
    if min(found) < 1:
        raise InputError(f"{option} {text}: {min(found)}; take numbers from 1 on")
    return found
