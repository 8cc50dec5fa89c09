"""A row as token ids."""

from __future__ import annotations

from dataclasses import dataclass

CHARACTERS_PER_TOKEN = 64
"""No text is tokenised at once beyond max_length times this: one cell of a megabyte would take minutes."""


@dataclass(frozen=True)
class Example:
    """One row as token ids: prompt, then answer, which ends with `<|eot_id|>` unless it is truncated."""

    input_ids: list[int]
    prompt_length: int
    prompt_truncated: bool = False
    answer_truncated: bool = False
    turns_left_out: int = 0
