"""The stages as commands: each loads the profile and runs its file in `pipeline.stages`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from common.systems import BASES
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running, taking_turns, values

SUMMARIES = {
    "inputs": "Resolve rows, encoder and base to files on this machine.",
    "select": "Filter by subset, drop nulls and copies, sample by template.",
    "embed": "Embed the candidates with the encoder.",
    "cluster": "Cluster the embeddings with K-Means and draw them with UMAP.",
    "split": "Draw training, validation and test rows without leakage.",
    "format": "Tokenise the splits in chat form.",
    "report": "Compare everything that was evaluated, on one offline page.",
}
DISTRIBUTED = ("embed",)  # the stages that share their work among processes


def command_of(stage: str) -> Callable[..., None]:
    """The command that runs a stage of `SUMMARIES`; the stage's own imports wait until it runs."""

    def run(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
        with (
            running(stage, profile, overrides, artifacts, distributed=stage in DISTRIBUTED) as (settings, paths),
            taking_turns(stage, paths),
        ):
            import_module(f"pipeline.stages.{stage}").run(settings, paths)

    return run


def evaluate(
    methods: Annotated[
        str,
        typer.Option("--method", metavar="M[,M2]", help="base, or an adapter (lora, lora-seed2); several with commas."),
    ],
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Measure the base or adapters on the test set."""
    with running("evaluate", profile, overrides, artifacts) as (settings, paths):
        systems = values("--method", methods, str)
        for system in systems:
            if system not in BASES:
                settings.method(system)  # a misspelt name is refused before anything is measured
        from pipeline.stages.evaluate import run

        for system in systems:
            with taking_turns(f"evaluate-{system}", paths):
                run(settings, paths, system)
