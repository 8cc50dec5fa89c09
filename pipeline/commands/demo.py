"""`python -m pipeline demo`: the chat as a local web page."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.chat import CompareOption, SeedOption, open_conversation
from pipeline.commands.serve import HostOption
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, SystemOption, running


def demo(
    context: typer.Context,
    method: SystemOption,
    compare: CompareOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 7860,
    seed: SeedOption = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """The chat as a local web page (needs the extra `demo`)."""
    with running("demo", profile, overrides, artifacts) as (settings, paths):
        from chat.page import require_gradio, serve

        require_gradio()
        systems, conversation = open_conversation(settings, paths, method, compare, seed, context.args)
        serve(systems, conversation, host=host, port=port, language=settings.language)
