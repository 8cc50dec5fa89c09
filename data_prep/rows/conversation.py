"""Conversations: a row is one assistant turn, and `history` holds the turns before its question, as JSON text.

Optional columns beside Cendol's, null in a plain row and absent where no file has them: `system` (the row's own system
prompt), `history`, `conversation`, which names the conversation that a turn is from, and `form` (`documents`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

OPTIONAL = ("system", "history", "conversation", "form")

Message = dict[str, str]


def write_history(messages: Sequence[Mapping[str, str]]) -> str | None:
    """Messages ({"role", "content"}) as text; None for none."""
    return json.dumps(list(messages), ensure_ascii=False) if messages else None


def read_history(text: str | None) -> list[Message]:
    """What `write_history` wrote."""
    return json.loads(text) if text else []


def whole_prompt(given: str, history: str | None) -> str:
    """The input with the turns before it, as one text with a paragraph for each. A system prompt is no content."""
    return "\n\n".join([*(message["content"] for message in read_history(history)), given])


def optional_column(table: pa.Table, name: str) -> list[Any]:
    """A column's values; None in every row where the table lacks it."""
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def prompts_of(table: pa.Table) -> list[str]:
    """Each row's whole prompt ("" for null)."""
    inputs = table["input"].fill_null("").to_pylist()
    histories = optional_column(table, "history")
    return [whole_prompt(given, history) for given, history in zip(inputs, histories, strict=True)]
