"""Can a tokenizer's folder be read? Asked before transformers reads it: tokenizers come from strangers.

Limits of size, and of the regular expressions in `tokenizer.json`: the tokenizers library tries them on every text, and
some take longer than the universe has. No code of a tokenizer's is ever run: the class is always
`PreTrainedTokenizerFast`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llada.errors import CheckpointError

LARGEST = {"tokenizer.json": 128 << 20, "tokenizer_config.json": 16 << 20, "chat_template.jinja": 256 << 10}
LARGEST_OTHER = 1 << 20  # added_tokens.json, special_tokens_map.json
LONGEST_PATTERN = 4000
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")


def check_tokenizer_files(folder: Path) -> None:
    """Look at the files that transformers would read.

    Raises:
        CheckpointError: one is too large, is no JSON object, or holds a pattern that could take very long.
    """
    for path in (*sorted(folder.glob("*.json")), folder / "chat_template.jinja"):
        most = LARGEST.get(path.name, LARGEST_OTHER if "token" in path.name else None)
        if most is not None and path.is_file() and path.stat().st_size > most:
            raise CheckpointError(f"{path}: {path.stat().st_size:,} bytes, allowed: {most:,}")
    path = folder / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a tokenizer ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a tokenizer (no JSON object)")
    for pattern in _patterns([content.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")]):
        if len(pattern) > LONGEST_PATTERN or _REPEATED_GROUP.search(pattern):
            raise CheckpointError(
                f"{path}: the pattern {pattern[:40]!r}... repeats a group or is long; it could take forever"
            )


def _patterns(value: Any) -> Iterator[str]:
    """Every regular expression in the value, however deep."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            if isinstance(one.get("Regex"), str):
                yield one["Regex"]
            pending += one.values()
        elif isinstance(one, list):
            pending += one
