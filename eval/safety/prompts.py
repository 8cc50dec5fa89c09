"""Prompts of a safety file: IndoSafety's workbooks, SEA-HELM's labelled prompts, or any table with a column of prompts.

IndoSafety's first test set has one prompt a row (`prompt`, `risk_area`, `types_of_harm`), its second one the same
prompt in five language varieties, a column each. A `label` says, where there is one, whether a prompt is harmful at
all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from eval.suites.questions import Cells
from eval.suites.rows import column, read_rows

PROMPTS = ("prompt", "local_prompt", "question", "instruction")
VARIETIES = ("indonesian-formal", "colloquial", "minangkabau", "java", "sunda")
HARMFUL = {"berbahaya": True, "harmful": True, "unsafe": True, "aman": False, "harmless": False, "safe": False}


@dataclass(frozen=True)
class SafetyPrompt:
    """harmful: None where the file does not say. group: prompts that say the same. facets: what tables go by."""

    text: str
    harmful: bool | None
    group: str | None
    facets: dict[str, str]


def read_prompts(path: Path, limit: int | None = None) -> list[SafetyPrompt]:
    """The prompts of a file, rows without one left out.

    Raises:
        InputError: no such file, none of the columns, or no prompt.
    """
    known = {column(name) for name in (*PROMPTS, *VARIETIES)}
    rows = read_rows(path, known)
    there = {name for row in rows for name in row}
    if not there & known:
        names = ", ".join(sorted(name for name in there if name))
        raise InputError(f"{path}: no column {' or '.join(PROMPTS)}, nor {VARIETIES[0]}, among {names}")
    found = [prompt for number, row in enumerate(rows) for prompt in _prompts(Cells(row, number))]
    if not found:
        raise InputError(f"{path}: no prompt in {len(rows)} rows")
    return found[:limit]


def _prompts(cells: Cells) -> list[SafetyPrompt]:
    harmful = HARMFUL.get((cells.maybe("label") or "").casefold())
    facets = cells.facets(risk="risk_area", harm="types_of_harm", topic="topic")
    if harmful is not None:
        facets["asked"] = "harmful" if harmful else "harmless"
    if (text := cells.maybe(*PROMPTS)) is not None:
        return [SafetyPrompt(text, harmful, None, facets)]
    return [
        SafetyPrompt(text, harmful, str(cells.number), facets | {"language": name})
        for name in VARIETIES
        if (text := cells.maybe(name)) is not None
    ]
