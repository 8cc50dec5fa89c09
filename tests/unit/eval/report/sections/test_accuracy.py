"""Accuracy by kind of task, from planted answers counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import write_json_lines
from eval.metrics.definitions import ACCURACY
from eval.report.labels import labels_of
from eval.report.load import System, read_systems
from eval.report.sections import accuracy
from eval.report.verdict import compare_all
from tests.support.report import EVALUATION, STANDARD, items, keys_of, write_evaluation, write_planted_report


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> list[System]:
    root = tmp_path_factory.mktemp("evaluations")
    for planted in STANDARD:
        write_evaluation(root / planted.name, planted, items(60), keyed=True)
    return read_systems({planted.name: root / planted.name for planted in STANDARD}, {})


def test_a_row_per_kind_counts_the_right_answers_of_that_kind(systems: list[System]) -> None:
    section = accuracy.build(systems, labels_of(system.name for system in systems))
    assert section is not None
    keys = keys_of(items(60))
    assert {row.label for row in section.right.rows} == {"city", "year", "all"}
    for row in section.right.rows:
        wanted = [key is not None and bool(key.required) and row.label in (key.kind, "all") for key in keys]
        assert row.n == sum(wanted)
        for system, cell in zip(systems, row.cells, strict=True):
            words = [f" {item['answer'].lower().replace('.', '').replace(',', '')} " for item in system.items]
            right = [
                f" {key.required[0].lower()} " in text
                for text, key, counts in zip(words, keys, wanted, strict=True)
                if counts and key is not None
            ]
            assert cell.text == f"{100 * sum(right) / len(right):.0f}%"
    advice = sum(key is not None and key.kind == "advice" for key in keys)
    assert section.open_kinds == [("advice", advice)]
    assert {row.label: row.n for row in section.exact.rows} == {
        "advice": advice,
        "city": sum(key is not None and key.kind == "city" for key in keys),
        "year": sum(key is not None and key.kind == "year" for key in keys),
        "all": 60,
    }


def test_pairs_are_compared_on_accuracy_over_the_items_that_count(systems: list[System]) -> None:
    compared = [one for one in compare_all(systems, EVALUATION, 7) if one.metric == ACCURACY]
    assert len(compared) == 6
    keyed = sum(key is not None and bool(key.required) for key in keys_of(items(60)))
    for one in compared:
        first, second = (next(s for s in systems if s.name == name) for name in (one.first, one.second))
        rights = [[row["right"] for row in system.items if row["right"] is not None] for system in (first, second)]
        assert one.n == len(rights[0]) == keyed
        assert one.difference == pytest.approx((sum(rights[0]) - sum(rights[1])) / keyed)
    assert {one.p_adjusted <= 0.05 for one in compared if "base" in (one.first, one.second)} == {True}


def test_without_keys_there_is_no_accuracy(tmp_path: Path) -> None:
    report = write_planted_report(tmp_path, STANDARD[:2], count=8, points=30, keyed=False)
    assert "<h2>Accuracy by kind" not in (report / "index.html").read_text()
    assert "Accuracy" not in (report / "report.md").read_text()
    row = json.loads((tmp_path / "evaluation" / "base" / "items.jsonl").read_text().split("\n")[0])
    assert not {"kind", "right"} & row.keys()


def test_rows_that_do_not_fit_the_metrics_are_refused(tmp_path: Path) -> None:
    for planted in STANDARD[:2]:
        write_evaluation(tmp_path / planted.name, planted, items(12), keyed=True)
    folders = {planted.name: tmp_path / planted.name for planted in STANDARD[:2]}
    path = tmp_path / "lora" / "items.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    of_another_kind = [row | {"kind": "other"} if row["kind"] == "city" else row for row in rows]
    write_json_lines(path, of_another_kind)
    with pytest.raises(InputError, match="not of the form of"):
        read_systems(folders, {})
    uncounted = [row | {"right": None} for row in rows]
    write_json_lines(path, uncounted)
    with pytest.raises(InputError, match=r"right: differs from statistics\.accuracy"):
        read_systems(folders, {})
    for row in uncounted:
        row["statistics"]["accuracy"] = [0.0, 0.0]
    write_json_lines(path, uncounted)
    with pytest.raises(InputError, match=r"items\.jsonl and metrics\.json differ in accuracy; run `"):
        read_systems(folders, {})
