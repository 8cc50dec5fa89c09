"""What `chat` and `demo` ask alike, as flags: the systems that answer, the seed, and the sampler's settings, one for
each field of SamplerConfig: `--gen-length`, `--rule`, ...
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from common.docstrings import attribute_docstrings
from llada.sampler_config import SamplerConfig
from pipeline.commands import exit_status, values

SystemOption = Annotated[str, typer.Option("--method", metavar="M", help="base, or the adapter's method.")]
CompareOption = Annotated[
    str | None, typer.Option("--compare", metavar="N[,N2]", help="More systems, beside the first; base is one.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Of the noise, where the settings want any. Default: the profile's.")
]


def with_conversation_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command the flags. It receives them as `conversation`, a dict of `systems` (the first and those
    beside it, each once), `seed` and `sampling` (the settings that were typed, by name).

    Settings arrive unchecked but for their type; `chat.conversation.changed` says what is allowed.
    """
    kinds = typing.get_type_hints(SamplerConfig)
    meanings = attribute_docstrings(SamplerConfig)
    names = [field.name for field in dataclasses.fields(SamplerConfig)]
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def flagged(**arguments: Any) -> None:
        typed = {name: value for name in names if (value := arguments.pop(name)) is not None and value != []}
        systems = _systems(arguments.pop("method"), arguments.pop("compare"))
        conversation = {"systems": systems, "seed": arguments.pop("seed"), "sampling": typed}
        command(**arguments, conversation=conversation)

    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "conversation"
    ]
    parameters = [
        _parameter("method", SystemOption, inspect.Parameter.empty),
        _parameter("compare", CompareOption),
        *kept,
        _parameter("seed", SeedOption),
        *(_parameter(name, _flag(name, kinds[name], meanings[name])) for name in names),
    ]
    flagged.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    flagged.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flagged


def _systems(method: str, compare: str | None) -> list[str]:
    with exit_status():
        return list(dict.fromkeys([method, *(values("--compare", compare, str) if compare is not None else [])]))


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _flag(name: str, kind: Any, meaning: str) -> Any:
    """`Annotated[KIND | None, typer.Option(...)]`; a Literal is named by its choices and checked later."""
    option = name.replace("_", "-")
    choices = typing.get_args(kind)
    if kind is bool:
        return Annotated[bool | None, typer.Option(f"--{option}/--no-{option}", help=meaning)]
    if typing.get_origin(kind) is typing.Literal:
        metavar = "|".join(choices)
        return Annotated[str | None, typer.Option(f"--{option}", metavar=metavar, help=meaning)]
    plain = next((choice for choice in choices if choice is not type(None)), kind)
    if typing.get_origin(plain) is tuple:
        return Annotated[list[int] | None, typer.Option(f"--{option}", metavar="ID", help=f"{meaning}; repeatable")]
    return Annotated[plain | None, typer.Option(f"--{option}", help=meaning)]
