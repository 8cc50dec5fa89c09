"""`python -m pipeline chat`: talk to the base and its adapters in the terminal; and what `demo` asks alike.

Both take the sampler's settings as flags, one for each field of SamplerConfig: `--gen-length 64 --rule threshold`. They
are read by argparse from the arguments that typer leaves over.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import InputError
from common.section import LARGEST_SEED, attribute_docstrings
from llada.sampling.settings import SamplerConfig
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, SystemOption, running, values

if TYPE_CHECKING:
    from chat.conversation import Conversation
    from chat.systems import Systems
    from pipeline.paths import Paths
    from pipeline.profile import Profile

TAKES_SAMPLER_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
CompareOption = Annotated[
    str | None, typer.Option("--compare", metavar="N[,N2]", help="More systems, beside the first; base is one.")
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", min=0, max=LARGEST_SEED, help="Seed of the noise. Default: the profile's."),
]


def chat(
    context: typer.Context,
    method: SystemOption,
    compare: CompareOption = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Answer this one question and leave.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Without the chat form: go on with the text. Nothing is remembered.")
    ] = False,
    pace: Annotated[
        float, typer.Option("--pace", metavar="SECONDS", min=0, max=60, help="How long a step lasts at the least.")
    ] = 0.04,
    seed: SeedOption = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Talk to an adapter, or to several systems side by side."""
    with running("chat", profile, overrides, artifacts) as (settings, paths):
        if prompt is None and not sys.stdin.isatty():
            prompt = sys.stdin.read().removesuffix("\n")
        systems, conversation = open_conversation(settings, paths, method, compare, seed, context.args)
        from chat.terminal import talk

        conversation.raw = raw
        talk(systems, conversation, prompt=prompt, pace=pace, language=settings.language)


def open_conversation(
    profile: Profile, paths: Paths, method: str, compare: str | None, seed: int | None, flags: list[str]
) -> tuple[Systems, Conversation]:
    """The loaded systems and a fresh conversation with them; refuses before anything slow is imported."""
    from chat.conversation import Conversation, changed
    from pipeline.paths import read_inputs, require

    others = [] if compare is None else values("--compare", compare, str)
    names = [method, *(name for name in others if name != method)]
    sampling = changed(profile.sampling, read_sampler_flags(flags))
    adapters = [name for name in names if name != "base"]
    for name in adapters:
        profile.method(name)
    for name in adapters:
        require(paths.adapter(name) / "adapter_config.json", f"train --method {name}", paths)
    resolved = read_inputs(paths)
    from chat.systems import Systems

    folders = {name: None if name == "base" else paths.adapter(name) for name in names}
    systems = Systems(profile.model, resolved.base, folders, resolved.base_sha256)
    first_seed = profile.seed if seed is None else seed
    return systems, Conversation(tuple(names), sampling, first_seed, profile.data.system_prompt)


def read_sampler_flags(arguments: list[str]) -> dict[str, Any]:
    """The settings that were typed, by name, of the field's type where the text is of it.

    Raises:
        InputError: an argument that is no flag of the sampler's, or a flag without its value.
    """
    parser = _sampler_parser()
    try:
        typed, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InputError(str(error)) from None
    if others:
        raise InputError(f"no such option: {others[0]}; --help lists those there are")
    return vars(typed)


def sampler_flags_help() -> str:
    """The flags with their meanings, as they stand below the options of `--help`."""
    lines = _sampler_parser().format_help().partition("sampler settings:")[2].rstrip()
    return f"\b\nSampler settings:{lines}"


def _sampler_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=partial(argparse.HelpFormatter, max_help_position=28, width=76),
    )
    group = parser.add_argument_group("sampler settings")
    meanings, kinds = attribute_docstrings(SamplerConfig), typing.get_type_hints(SamplerConfig)
    for field in dataclasses.fields(SamplerConfig):
        flag, kind = f"--{field.name.replace('_', '-')}", kinds[field.name]
        about: dict[str, Any] = {"dest": field.name, "help": meanings[field.name].replace("%", "%%")}
        plain = next((part for part in typing.get_args(kind) if part is not type(None)), kind)  # int of int | None
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **about)
        elif typing.get_origin(kind) is typing.Literal:
            about["help"] += f" ({', '.join(typing.get_args(kind))})"
            group.add_argument(flag, metavar="NAME", **about)
        elif typing.get_origin(plain) is tuple:
            group.add_argument(flag, type=int, action="append", metavar="ID", **about)
        else:
            group.add_argument(flag, type=plain, metavar=plain.__name__.upper(), **about)
    return parser
