"""The sampler's settings as flags of a command, one for each field of SamplerConfig: `--gen-length`, `--rule`, ..."""

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


def with_sampling_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a typer command one flag per setting. It receives those that were typed as `sampling`, a dict by name.

    Values arrive unchecked but for their type; `chat.conversation.changed` says what is allowed.
    """
    kinds = typing.get_type_hints(SamplerConfig)
    meanings = attribute_docstrings(SamplerConfig)
    names = [field.name for field in dataclasses.fields(SamplerConfig)]
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def flagged(**arguments: Any) -> None:
        typed = {name: value for name in names if (value := arguments.pop(name)) is not None and value != []}
        command(**arguments, sampling=typed)

    flags = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_flag(name, kinds[name], meanings[name])
        )
        for name in names
    ]
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "sampling"
    ]
    flagged.__signature__ = own.replace(parameters=[*kept, *flags])  # type: ignore[attr-defined]
    flagged.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *flags)}
    return flagged


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
