"""The training command behind `train_adapter.py`: load the profile, find the splits, hand over to the trainer."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands import ArtifactsOption, ProfileOption, SetOption, exit_status, load

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def train(
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            help="lora, loraplus or pissa; also rslora, dora, loraplus_pissa. lora-seed2 trains lora with seed 2.",
        ),
    ],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be trained, and whether it fits; train nothing.")
    ] = False,
) -> None:
    """Train one adapter with the masked-diffusion loss; start it with `accelerate launch`."""
    with exit_status():
        settings, paths = load(profile, overrides, artifacts)
        settings.method(method)
        from pipeline import stages

        arguments = stages.train_arguments(settings, paths, method)
        from adapters import trainer
        from adapters.naming import AdapterName

        (trainer.dry_run if dry_run else trainer.train)(AdapterName.parse(method).method, **arguments)
