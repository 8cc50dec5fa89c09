"""Raw text: a row that is a document. Its `output` is the text, its `input` is empty, and its column `form` says
"text"; null there, or no such column, is a row with a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from data_prep.rows.conversation import optional_column

FORM, RAW = "form", "text"


def is_document(row: Mapping[str, Any]) -> bool:
    """Is a row raw text?"""
    return row.get(FORM) == RAW


def leading_texts(table: pa.Table) -> list[str]:
    """What each row is about: its input, or a document's text."""
    columns = (table["input"].to_pylist(), table["output"].to_pylist(), optional_column(table, FORM))
    return [text if form == RAW else given for given, text, form in zip(*columns, strict=True)]
