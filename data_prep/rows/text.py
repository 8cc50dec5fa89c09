"""A row's columns, what counts as an empty cell, and its id; beside the forms in which texts are compared."""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from common.text.forms import folded_words, normal_form

__all__ = ["COLUMNS", "INVISIBLE", "PLACEHOLDERS", "folded_words", "normal_form", "row_id", "seeded_hash"]

COLUMNS = ("dataset_name", "subset_name", "prompt_id", "template_name", "dataset_key", "input", "output")
"""Cendol v2's columns, in order."""

INVISIBLE = r"^[\p{Cf}\p{White_Space}\p{Default_Ignorable_Code_Point}\u{2800}]*$"
"""Rust's regular expression (daft's) for a text that shows nothing: white space, zero-width and format characters,
variation selectors, fillers, the blank Braille cell."""
PLACEHOLDERS = frozenset({"none", "null", "n/a", "#n/a", "nan", "undefined"})
"""What other software writes where there is no answer; it may also be one, so it is counted and not dropped."""


def row_id(values: Sequence[str | None]) -> str:
    """Stable id of a row: 128-bit xxHash3 of its columns in the order of COLUMNS, in hexadecimal.

    Each value is preceded by its length in bytes (-1 for null), so that no two different rows spell the same bytes.
    """
    digest = xxhash.xxh3_128()
    for value in values:
        content = b"" if value is None else value.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % (-1 if value is None else len(content)))
        digest.update(content)
    return digest.hexdigest()


def seeded_hash(text: str, seed: int) -> int:
    """64-bit hash used as a random number: the same on every machine, whatever the order of the rows."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed)
