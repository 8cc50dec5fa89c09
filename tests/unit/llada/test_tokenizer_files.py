"""Patterns of published tokenizers are taken, those that could take forever are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llada.errors import CheckpointError
from llada.tokenizer_files import check_tokenizer_files

PUBLISHED = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "GPT-4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "an escaped bracket": r"\)+|\(",
}  # fmt: skip


def write(folder: Path, pattern: str) -> Path:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    content = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split]}, "model": {"vocab": {"Regex": 5}}}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("pattern", PUBLISHED.values(), ids=PUBLISHED)
def test_published_patterns_are_taken(tmp_path: Path, pattern: str) -> None:
    check_tokenizer_files(write(tmp_path, pattern))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){20}", "(?:a?){3,}", "a|" * 3000])
def test_patterns_that_could_take_forever_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(CheckpointError, match="could take forever"):
        check_tokenizer_files(write(tmp_path, pattern))
