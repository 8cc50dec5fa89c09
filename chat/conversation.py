"""A conversation with one or several systems: what was said to and by each, and the settings of the answers.

Plain data, apart from the systems that answer: the web page keeps one per browser tab.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common.errors import InputError
from common.section import LARGEST_SEED
from common.yaml_text import parse_yaml
from llada.chat_format import whole_characters
from llada.errors import CheckpointError
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from chat.frames import Frame
    from chat.systems import Systems

LONGEST_QUESTION = 20_000  # characters
MOST_MESSAGES = 200  # that are kept of a conversation, an even number


@dataclass
class Conversation:
    """Each system's own history: all hear the same questions, and each its own answers."""

    systems: tuple[str, ...]
    sampling: SamplerConfig
    seed: int
    system_prompt: str | None = None
    raw: bool = False  # no chat form: what is said is a text, and the answer goes on with it; nothing is remembered
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
        question = whole_characters(question)
        question = question if self.raw and question.strip() else question.strip()
        if not question:
            raise InputError("the question is empty")
        if len(question) > LONGEST_QUESTION:
            raise InputError(
                f"the question has {len(question):,} characters, allowed: {LONGEST_QUESTION:,}; shorten it"
            )
        asked = {"role": "user", "content": question}
        if self.raw:
            made = dict.fromkeys(self.systems, (systems.beginning(question, self.sampling), 0))
        else:
            made = {name: systems.prompt([*self.histories[name], asked], self.sampling) for name in self.systems}
        self.left_out = max(left_out for _, left_out in made.values())
        latest: dict[str, Frame] = {}
        try:
            prompts = {name: ids for name, (ids, _) in made.items()}
            for latest in systems.answer(prompts, self.sampling, self.seed, not self.raw):
                yield latest
        except CheckpointError as error:
            raise InputError(str(error)) from error
        except ValueError as error:
            raise InputError(f"sampling: {error}") from error
        if self.raw:
            return
        for name, frame in latest.items():
            said = [*self.histories[name], asked, {"role": "assistant", "content": frame.answer}]
            head = int(said[0]["role"] == "system")
            del said[head : max(head, len(said) - MOST_MESSAGES)]
            self.histories[name] = said

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
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_SEED:
                raise InputError(f"seed is {value!r}, allowed: whole numbers from 0 to {LARGEST_SEED}")
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
    value = parse_yaml(text, key)
    return float(value) if isinstance(value, str) and "e" in value and _numeric(value) else value


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
