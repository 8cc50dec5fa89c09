"""The forms in which instruction sets write a row, turned into ours.

plain          one column for each of ours, under the source's names (`data.columns`)
template       `data.columns: {input: "{instruction}\\n\\n{context}"}`: text with the source's columns in it
Alpaca         `instruction`, `output` and perhaps `input`, which is joined to the instruction
raw text       `text` ({"text": "..."}), without input and output: a document, trained on without the chat form
conversation   `messages` ([{role, content}]) or `conversations` ([{from, value}]): one row per assistant turn
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from common.errors import InputError
from data_prep.inputs.reading import Row, parse_json
from data_prep.rows.conversation import Message, write_history
from data_prep.rows.documents import FORM, RAW
from data_prep.rows.tables import CONSTANT
from data_prep.rows.text import COLUMNS

TEXTS = ("input", "output")
"""The columns that every instruction set has; the others describe a row and may be absent from a foreign one."""
MESSAGES = ("messages", "conversations")
ASKING = ("instruction", "prompt", "question", "response", "answer", "completion")
"""Names in sets of questions and answers: a column `text` beside one of them is not taken for a document."""
ROLES = {
    "system": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant",
}  # fmt: skip
_NAME = re.compile(r"\{([^{}]+)\}")

OurRow = dict[str, str | None]


@dataclass(frozen=True)
class RowForm:
    """`data.columns`, and what follows from it. `columns`: our column -> the source's, "=constant" or template."""

    columns: Mapping[str, str]

    @classmethod
    def of(cls, columns: Mapping[str, str]) -> RowForm:
        """Raises InputError where a key is no column of ours."""
        ours = (*COLUMNS, "system", "messages", RAW)
        unknown = sorted(set(columns) - set(ours))
        if unknown:
            raise InputError(
                f"data.columns: {', '.join(unknown)}: not a column of ours; "
                f"map any of {', '.join(ours)} to the source's"
            )
        return cls(dict(columns))

    def theirs(self, name: str) -> str:
        return self.columns.get(name, name)

    def constant(self, name: str) -> bool:
        return self.theirs(name).startswith(CONSTANT)

    def templates(self) -> dict[str, list[str]]:
        """Our columns that are templates, and the source's columns in each."""
        found = {ours: _NAME.findall(theirs) for ours, theirs in self.columns.items() if not self.constant(ours)}
        return {ours: names for ours, names in found.items() if names}

    def holds_messages(self, names: Mapping[str, Any]) -> str | None:
        """The column of a conversation's messages among `names`; None where the rows are no conversations."""
        if "messages" in self.columns:
            return self.columns["messages"] if self.columns["messages"] in names else None
        if set(TEXTS) & set(self.columns):
            return None
        return next((name for name in MESSAGES if name in names), None)

    def is_alpaca(self, names: Mapping[str, Any]) -> bool:
        """A set that names its rows' parts and templates is Cendol's or like it, whatever else it holds."""
        own = {"subset_name", "template_name"} <= names.keys()
        return not self.columns and {"instruction", "output"} <= names.keys() and not own

    def holds_text(self, names: Mapping[str, Any]) -> bool:
        """Are there documents? `data.columns: {text: THEIRS}` says so, or a column `text` and none that asks."""
        if RAW in self.columns:
            return bool({*self.templates().get(RAW, [self.columns[RAW]])} & {*names})
        return RAW in names and not {*TEXTS, *MESSAGES, *ASKING} & {*names, *self.columns}

    def rows(self, row: Row, dropped: Counter[str]) -> Iterator[OurRow]:
        """Our rows of one of the source's.

        Raises:
            ValueError: a value that is no text, or a damaged conversation, in words; the caller names file and line.
        """
        named = {name: self._value(row, name) for name in (*COLUMNS, "system") if not self.constant(name)}
        column = self.holds_messages(row)
        if column is not None and row[column] is not None:
            for turn in assistant_turns(column, row[column], dropped):
                system = turn["system"] if turn["system"] is not None else named.get("system")
                yield named | turn | ({"system": system} if "system" in named else {})
        elif self.holds_text(row) and named["output"] is None and (text := self._value(row, RAW)) is not None:
            yield named | {"input": "", "output": text, FORM: RAW}
        elif self.is_alpaca(row):
            yield named | {"input": _joined(text_of("instruction", row["instruction"]), named["input"])}
        else:
            yield named

    def _value(self, row: Row, name: str) -> str | None:
        theirs = self.theirs(name)
        names = _NAME.findall(theirs) if name in self.columns else []
        if not names:
            return text_of(theirs, row.get(theirs))
        values = {each: text_of(each, row.get(each)) for each in names}
        if all(value is None for value in values.values()):
            return None
        return _NAME.sub(lambda found: values[found[1]] or "", theirs).strip()


def text_of(name: str, value: Any) -> str | None:
    """Raises ValueError where the value is no text, number or truth value."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, bool | int | float):
        raise ValueError(f"{name}: holds {type(value).__name__}, not text")
    return json.dumps(value, allow_nan=False)


def _joined(instruction: str | None, context: str | None) -> str | None:
    return f"{instruction}\n\n{context}" if instruction and context and context.strip() else instruction


def assistant_turns(column: str, value: Any, dropped: Counter[str]) -> Iterator[OurRow]:
    """One row per answer of the assistant, with the turns before its question as history.

    Consecutive messages of one role are one message. An answer to no question is history alone and counted, as is a
    conversation without an answer.

    Raises:
        ValueError: not a list of messages, or a role that is none of ROLES (tools, say).
    """
    try:
        messages = _messages(column, parse_json(value) if isinstance(value, str) else value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{column}: neither a list of messages nor JSON ({error})") from None
    name = xxhash.xxh3_128_hexdigest(json.dumps(messages).encode())
    system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else None
    answers = 0
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        if place == 0 or messages[place - 1]["role"] != "user":
            dropped["answers_to_no_question"] += 1
            continue
        answers += 1
        history = write_history(messages[: place - 1])
        given = messages[place - 1]["content"]
        yield {"input": given, "output": message["content"], "system": system, "history": history, "conversation": name}
    if not answers:
        dropped["conversations_without_answer"] += 1


def _messages(column: str, value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise ValueError(f"{column}: holds {type(value).__name__}, not a list of messages")
    merged: list[Message] = []
    for number, message in enumerate(value, start=1):
        if not isinstance(message, dict):
            raise ValueError(f"{column}: message {number} is {type(message).__name__}, not an object")
        said = message.get("role") or message.get("from")
        role = ROLES.get(said.lower()) if isinstance(said, str) else None
        if role is None:
            raise ValueError(
                f"{column}: message {number} is from {str(said)[:40]!r}, not from one of {', '.join(ROLES)}"
            )
        content = _content(message.get("content") if message.get("content") is not None else message.get("value"))
        if content is None:
            raise ValueError(f"{column}: message {number} holds no text")
        if merged and merged[-1]["role"] == role:
            merged[-1] = {"role": role, "content": f"{merged[-1]['content']}\n\n{content}"}
        else:
            merged.append({"role": role, "content": content})
    return merged


def _content(value: Any) -> str | None:
    """A message's text, which may come in parts ([{"type": "text", "text": ...}]); None where a part is none."""
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in value]
        texts = [part for part in parts if isinstance(part, str)]
        return "\n\n".join(texts) if parts and len(texts) == len(parts) else None
    return value if isinstance(value, str) else None
