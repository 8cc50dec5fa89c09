"""The configuration reference is the code's own."""

from __future__ import annotations

from pipeline.reference import reference
from tests.support.imports import REPOSITORY


def test_the_committed_reference_equals_the_models() -> None:
    committed = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    assert committed == reference(), "run python -m pipeline.reference > docs/configuration.md"


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert all(line.split("|")[-2].strip() for line in rows)
