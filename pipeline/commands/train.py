"""The training command behind `train_adapter.py`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running, taking_turns

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def train(
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            help="lora, loraplus or pissa; also rslora, dora, loraplus_pissa, olora, eva, corda, lora_ga, miss, "
            "gralora, hira. lora-seed2 trains lora with seed 2.",
        ),
    ],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be trained, and whether it fits; train nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove what unfinished runs of this adapter left behind, and start anew.")
    ] = False,
    ignore_memory: Annotated[
        bool, typer.Option("--ignore-memory", help="Start although by the estimate the GPU's memory is too small.")
    ] = False,
    cpu: Annotated[bool, typer.Option("--cpu", help="Start without a GPU, even with a base of billions.")] = False,
) -> None:
    """Train one adapter with the masked-diffusion loss; start it with `accelerate launch`."""
    with running("train", profile, overrides, artifacts, distributed=True) as (settings, paths):
        settings.method(method)
        from pipeline.stages.train import run

        with nullcontext() if dry_run else taking_turns(f"train-{method}", paths):
            run(settings, paths, method, dry_run, fresh, ignore_memory, cpu)
