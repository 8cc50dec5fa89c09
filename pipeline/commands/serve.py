"""`python -m pipeline serve`: the base and its adapters behind the OpenAI forms, on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from common.errors import InputError
from pipeline.commands.chat import CompareOption, open_conversation
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, SystemOption, running

HostOption = Annotated[
    str,
    typer.Option(
        "--host", metavar="ADDRESS", help="Address to listen on. 0.0.0.0 lets in all who reach it; see LLADA_PASSWORD."
    ),
]


def serve(
    context: typer.Context,
    method: SystemOption,
    compare: CompareOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    queue: Annotated[
        int, typer.Option("--queue", metavar="N", min=1, max=10_000, help="Requests that may wait at the same time.")
    ] = 64,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=1, max=86_400, help="Until an answer must be finished.")
    ] = 300,
    positions: Annotated[
        int,
        typer.Option(
            "--positions",
            metavar="N",
            min=1,
            max=10_000_000,
            help="Tokens computed together: rows x (prompt + answer).",
        ),
    ] = 32_768,
    longest: Annotated[
        int, typer.Option("--longest", metavar="N", min=1, max=65_536, help="The largest max_tokens of a request.")
    ] = 1024,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Serve base and adapters in the OpenAI form (needs the extra `serve`)."""
    with running("serve", profile, overrides, artifacts) as (settings, paths):
        if find_spec("starlette") is None or find_spec("uvicorn") is None:
            raise InputError("the server needs starlette and uvicorn; run `pip install --editable '.[serve]'`")
        names = ",".join(("base", compare)) if compare else "base"
        systems, conversation = open_conversation(settings, paths, method, names, None, context.args)
        from chat.serving.batches import Limits
        from chat.serving.listening import listen
        from chat.serving.openai_app import PATHS, Server

        limits = Limits(waiting=queue, positions=positions, seconds=seconds, answer_tokens=longest)
        server = Server(systems, conversation.sampling, settings.data.system_prompt, limits)
        told = f"{', '.join(systems.names)} at {{url}}/v1 (OpenAI chat and text completions); Ctrl-C ends"
        try:
            listen(server.app, host, port, PATHS, most_bytes=1 << 20, told=told)
        finally:
            server.close()
