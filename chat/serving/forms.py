"""How an answer looks in the OpenAI forms, whole and in the chunks of a stream: that of a chat and that of a text.

Source: OpenAI's reference of the chat completions API, and of the older completions API.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """identifier: what an answer's id begins with. whole, chunk: kinds of objects. answer, part: a text as a whole
    answer and as a piece of a stream. trim: white space around the answer. opening: what a stream begins with.
    """

    identifier: str
    whole: str
    chunk: str
    answer: Callable[[str], dict[str, Any]]
    part: Callable[[str], dict[str, Any]]
    trim: bool
    opening: dict[str, Any] | None = None

    def identity(self, system: str) -> dict[str, Any]:
        """What all objects of one answer have in common."""
        return {
            "id": f"{self.identifier}-{secrets.token_hex(12)}", "created": int(time.time()), "model": system,
        }  # fmt: skip


def choice(content: dict[str, Any], ended: str | None = None) -> dict[str, Any]:
    """The one choice of an answer or of a chunk."""
    return {"index": 0, **content, "logprobs": None, "finish_reason": ended}


CHAT = Form(
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    answer=lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    part=lambda text: {"delta": {"content": text} if text else {}},
    trim=True,
    opening={"delta": {"role": "assistant", "content": ""}},
)
TEXT = Form(
    "cmpl",
    "text_completion",
    "text_completion",
    answer=lambda text: {"text": text},
    part=lambda text: {"text": text},
    trim=False,
)
