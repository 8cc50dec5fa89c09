"""A conversation with one or several systems: what was said to and by each, and the settings of the answers.

Plain data, apart from the systems that answer: the web page keeps one per browser tab.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from common.errors import InputError
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from chat.frames import Frame
    from chat.systems import Systems


@dataclass
class Conversation:
    """Each system's own history: all hear the same questions, and each its own answers."""

    systems: tuple[str, ...]
    sampling: SamplerConfig
    seed: int
    system_prompt: str | None = None
    histories: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    left_out: int = 0  # messages that did not fit into the last prompt, the largest number over the systems

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was said; the settings stay."""
        first = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        self.histories = {name: list(first) for name in self.systems}
        self.left_out = 0

    @property
    def turns(self) -> int:
        """Questions that were answered."""
        return sum(message["role"] == "user" for message in self.histories[self.systems[0]])

    def ask(self, systems: Systems, question: str) -> Iterator[dict[str, Frame]]:
        """Answer a question step by step; see `Systems.answer`.

        Question and answers enter the histories when the answers are complete. An answer that its reader stops leaves
        the histories as they were.

        Raises:
            InputError: no text, a text that is too long, or settings that do not fit the model.
        """
        if not question.strip():
            raise InputError("the question is empty")
        asked = {"role": "user", "content": question.strip()}
        made = {name: systems.prompt([*self.histories[name], asked], self.sampling) for name in self.systems}
        self.left_out = max(left_out for _, left_out in made.values())
        latest: dict[str, Frame] = {}
        try:
            for latest in systems.answer({name: ids for name, (ids, _) in made.items()}, self.sampling, self.seed):
                yield latest
        except ValueError as error:
            raise InputError(f"sampling: {error}") from error
        for name, frame in latest.items():
            self.histories[name] += [asked, {"role": "assistant", "content": frame.answer}]

    def change(self, key: str, value: Any) -> None:
        """Change one setting of the sampler, or the seed.

        Args:
            value: of the setting's type, or text as YAML reads it.

        Raises:
            InputError: an unknown setting or a value that is not allowed; nothing is changed.
        """
        if isinstance(value, str):
            value = _from_text(key, value)
        if key == "seed":
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(f"seed is {value!r}, allowed: whole numbers from 0")
            self.seed = value
        else:
            self.sampling = changed(self.sampling, {key: value})

    def settings(self) -> dict[str, Any]:
        """All settings by name, the seed last."""
        return dataclasses.asdict(self.sampling) | {"seed": self.seed}


def changed(sampling: SamplerConfig, values: dict[str, Any]) -> SamplerConfig:
    """The settings with some values replaced.

    Raises:
        InputError: an unknown setting, a value of the wrong type, or one that is not allowed.
    """
    kinds = typing.get_type_hints(SamplerConfig)
    names = [entry.name for entry in dataclasses.fields(sampling)]
    faults = [f"{key} is no setting; there are {', '.join(names)}, seed" for key in values if key not in names]
    faults += [
        f"{key} is {value!r}, allowed: {_allowed(kinds[key])}"
        for key, value in values.items()
        if key in names and not _fits(value, kinds[key])
    ]
    if faults:
        raise InputError(faults)
    try:
        return dataclasses.replace(sampling, **values)
    except ValueError as error:
        raise InputError(f"sampling: {error}") from None


def _fits(value: Any, kind: Any) -> bool:
    choices = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return value in choices
    if choices and typing.get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(type(entry) is choices[0] for entry in value)
    if choices:  # X | None
        return any(_fits(value, choice) for choice in choices)
    return type(value) is kind or (kind is float and type(value) is int)


def _allowed(kind: Any) -> str:
    """What may be typed for a setting of this type, in words."""
    choices = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, choices))
    if choices and typing.get_origin(kind) is tuple:
        return "a list of whole numbers"
    if choices:
        return " or ".join(_allowed(choice) for choice in choices)
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "null")


def _from_text(key: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) and "e" in value and _numeric(value) else value
    except yaml.YAMLError:
        raise InputError(f"{key}: {text!r} is not a value") from None


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
