"""English rows of a public file: read in their usual forms, and measured beside the built-in sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.config import ModelConfig
from common.errors import InputError
from eval.measure.english import read_english
from eval.measure.evaluate import load_system
from eval.measure.likelihood import bounds
from eval.measure.retention import english_bound
from llada.chat_format import encode_example
from tests.support.evaluation import write_tiny_base
from tests.unit.eval.suites.test_formats import write_csv, write_lines

DOLLY = {"instruction": "Name a fruit.", "context": "On the table.", "response": "An apple.", "category": "qa"}


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        (DOLLY, ("Name a fruit.\nOn the table.", "An apple.")),
        ({"instruction": "Say yes.", "input": "", "output": "Yes."}, ("Say yes.", "Yes.")),
        ({"question": "Why?", "answer": "Because."}, ("Why?", "Because.")),
    ],
)
def test_dolly_alpaca_and_plain_questions_are_read(tmp_path: Path, row: dict[str, Any], pair: tuple[str, str]) -> None:
    empty = dict.fromkeys(row, "")
    assert read_english(write_lines(tmp_path / "a.jsonl", [row, empty, row, row]), 2) == [pair, pair]
    assert read_english(write_csv(tmp_path / "a.csv", [row]), 5) == [pair]


def test_a_file_without_such_columns_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation\.english_file: .*no row with instruction"):
        read_english(write_lines(tmp_path / "a.jsonl", [{"text": "a"}]), 5)
    with pytest.raises(InputError, match=r"evaluation\.english_file: .*no such file"):
        read_english(tmp_path / "none.csv", 5)


def test_the_bound_is_that_of_the_files_rows(tmp_path: Path) -> None:
    model, tokenizer = load_system(ModelConfig(), write_tiny_base(tmp_path), None)
    pairs = [("Name a fruit.", "An apple."), ("Why?", "Because.")]
    found = english_bound(model, tokenizer, pairs, samples=3, resamples=100, seed=2)
    encoded = [encode_example(tokenizer, *pair) for pair in pairs]
    estimates = bounds(model, [ids[:n] for ids, n in encoded], [ids[n:] for ids, n in encoded], samples=3, seed=2)
    rows = found["statistics"]["bound_per_token"]
    assert [row[0] for row in rows] == pytest.approx([-one.estimate for one in estimates], abs=1e-4)
    assert found["bound_per_token"]["n"] == 2
