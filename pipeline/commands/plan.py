"""`python -m pipeline plan`: memory, time and disk, before anything is run."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running


def plan(
    method: Annotated[str | None, typer.Option("--method", metavar="M", help="Default: the profile's first.")] = None,
    gpu: Annotated[
        float | None,
        typer.Option("--gpu", metavar="GB", min=4, help="For a GPU sold with so many GB instead of this machine."),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option("--tflops", min=0.001, help="The GPU's dense peak in TFLOP/s, to compute a time nobody measured."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables; sizes in bytes.")] = False,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Estimate memory, time and disk of training before running it."""
    with running("plan", profile, overrides, artifacts) as (settings, paths):
        from pipeline.forecast import as_json as facts
        from pipeline.forecast import forecast, show

        result = forecast(settings, paths, method or next(iter(settings.methods)), gpu, tflops)
        if as_json:
            print(json.dumps(facts(result), indent=2, allow_nan=False))
        else:
            show(result)
