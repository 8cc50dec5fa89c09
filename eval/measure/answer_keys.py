"""Read `answer_keys.jsonl`: which answers are right, one prompt a line.

    {"input": "Apa ibu kota Jepang?", "kind": "capital", "required": ["Tokyo"], "forbidden": []}

An item's key is found by its prompt, white space and composition aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from common.errors import InputError
from common.files import read_json_lines
from common.records import Record, as_record
from common.text.forms import folded_words, normal_form
from eval.metrics.accuracy import AnswerKey, holds
from eval.metrics.scoring import Item

Phrases = Annotated[list[str], Field(max_length=1000)]


class KeyLine(Record):
    """A line of the file. Keys that no answer could satisfy, or that every answer does, are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")

    input: str
    kind: Annotated[str, Field(min_length=1, max_length=100)]
    required: Phrases
    forbidden: Phrases = Field([])

    @model_validator(mode="after")
    def _can_tell_answers_apart(self) -> KeyLine:
        for phrase in (*self.required, *self.forbidden):
            if not folded_words(phrase):
                raise ValueError(f"the phrase {phrase[:40]!r} has no letter or digit; leave it out")
        for needed in self.required:
            for phrase in self.forbidden:
                if holds(needed, phrase):
                    raise ValueError(f"{phrase[:40]!r} is forbidden and a part of {needed[:40]!r}, which is required")
        return self

    @property
    def key(self) -> AnswerKey:
        return AnswerKey(self.kind, tuple(self.required), tuple(self.forbidden))


def read_answer_keys(path: Path) -> dict[str, AnswerKey]:
    """The keys by the normal form of their prompts.

    Raises:
        InputError: the file is no JSON lines, a line is no key, or a prompt has two different ones.
    """
    keys: dict[str, AnswerKey] = {}
    for number, content in enumerate(read_json_lines(path), start=1):
        line = as_record(path, {f"key {number}": content}, dict[str, KeyLine])[f"key {number}"]
        prompt = normal_form(line.input)
        if keys.setdefault(prompt, line.key) != line.key:
            raise InputError(
                f"{path}: key {number}: a line before has another key for the prompt {prompt[:60]!r}; keep one"
            )
    return keys


def keys_of(items: Sequence[Item], keys: Mapping[str, AnswerKey]) -> list[AnswerKey | None]:
    """Each item's key, None where its prompt has none."""
    return [keys.get(normal_form(item.prompt)) for item in items]
