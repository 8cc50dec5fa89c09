"""Evaluations that do not belong together are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import write_json
from eval.report.load import read_systems
from tests.support.report import STANDARD, items, write_evaluation


def test_other_items_or_an_old_schema_are_refused(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "base", STANDARD[0], items(8))
    write_evaluation(tmp_path / "lora", STANDARD[1], items(9)[1:])
    folders = {"base": tmp_path / "base", "lora": tmp_path / "lora"}
    with pytest.raises(InputError, match="other test items"):
        read_systems(folders, {})
    content = json.loads((tmp_path / "lora" / "metrics.json").read_text())
    write_json(tmp_path / "lora" / "metrics.json", content | {"schema_version": 0})
    with pytest.raises(InputError, match="schema_version"):
        read_systems(folders, {})
    with pytest.raises(InputError, match="evaluate --method pissa"):
        read_systems({"pissa": tmp_path / "pissa"}, {})
