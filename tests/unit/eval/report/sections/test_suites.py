"""The section on public suites: groups are said, pairs are tested together, hand-run results join."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from common.files import write_json
from eval.metrics.groups import compare_groups
from eval.metrics.statistics import holm, mean_statistics
from eval.report.labels import labels_of
from eval.report.load import read_systems
from eval.report.sections.beside import suites
from eval.report.sections.beside.suites import about, build
from eval.suites.results import READINGS
from tests.support.report import Planted, items, soup, suite_result, write_evaluation

PLANTED = (Planted("base", soup, 5.5), Planted("lora", soup, 3.0), Planted("pissa", soup, 3.2))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("evaluation")
    rows = items(12)
    for planted in PLANTED:
        write_evaluation(root / planted.name, planted, rows)
    return {planted.name: root / planted.name for planted in PLANTED}


def by_hand(folder: Path, planted: Planted, groups: bool, **more: Any) -> Path:
    result = suite_result(planted, np.random.default_rng(7), groups=groups)
    write_json(
        folder / "IndoMMLU" / "result.json",
        {"name": "IndoMMLU", "system": planted.name, "adapter_sha256": None} | result | more,
    )
    return folder


def test_what_was_measured_by_hand_joins_what_evaluate_measured(folders: dict[str, Path], tmp_path: Path) -> None:
    tasks = {planted.name: by_hand(tmp_path / planted.name, planted, groups=True) for planted in PLANTED[:2]}
    systems = read_systems(folders, {}, tasks)
    section = build(systems, labels_of(folders), 200)
    assert section is not None
    assert [table.title for table in section.tables] == ["XCOPA", "IndoMMLU"]
    first, second = section.tables
    assert [row.system.name for row in first.rows] == ["base", "lora", "pissa"]
    assert [row.system.name for row in second.rows] == ["base", "lora"]
    assert first.readings == ["Likelihood", "Likelihood per byte", "Letter", "Revealing", "Revealing per byte"]
    assert section.comparisons == 3 + 1
    assert "Items count as independent" in first.about
    assert "grouped by subject and level (10 groups): intervals are cluster-robust" in second.about
    assert [row.label for row in second.facets[0].rows] == ["SD", "SMP"]


def test_pairs_are_tested_by_groups_and_corrected_over_the_family(folders: dict[str, Path], tmp_path: Path) -> None:
    tasks = {planted.name: by_hand(tmp_path / planted.name, planted, groups=True) for planted in PLANTED}
    systems = read_systems(folders, {}, tasks)
    section = build(systems, labels_of(folders), 700)
    assert section is not None
    expected = []
    for name in ("XCOPA", "IndoMMLU"):
        for first, second in ((0, 1), (0, 2), (1, 2)):
            facts = [systems[place].tasks[name] for place in (first, second)]
            right = [mean_statistics(np.array(one["items"]["right"]["letter"])) for one in facts]
            groups = facts[0]["items"]["group"] or [None] * 60
            names = (systems[first].name, systems[second].name)
            one = compare_groups(names, "letter", (right[0], right[1]), groups, permutations=700, seed=7)
            expected.append(one.p)
    shown = [row.p for table in section.tables for row in table.pairs]
    from eval.report.formatting import p_value

    assert shown == [p_value(p) for p in holm(expected)]
    assert {row.better for table in section.tables for row in table.pairs} > {"LoRA"}


def test_a_suite_that_was_measured_in_another_way_is_left_out_and_said(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    tasks = {planted.name: by_hand(tmp_path / planted.name, planted, groups=False) for planted in PLANTED[:2]}
    by_hand(tmp_path / "pissa", PLANTED[2], groups=False, shots=3)
    section = build(read_systems(folders, {}, tasks | {"pissa": tmp_path / "pissa"}), labels_of(folders), 200)
    assert section is not None
    assert section.tables[1].left_out == ["PiSSA"]
    assert len(section.tables[1].pairs) == 1


def test_training_seeds_are_compared_together(folders: dict[str, Path], tmp_path: Path) -> None:
    tasks = {planted.name: by_hand(tmp_path / planted.name, planted, groups=True) for planted in PLANTED}
    base, lora, pissa = read_systems(folders, {}, tasks)
    others = [replace(system, name=f"{system.name}-seed2") for system in (lora, pissa)]
    section = build(
        [base, replace(lora, others=(others[0],)), replace(pissa, others=(others[1],))], labels_of(folders), 200
    )
    assert section is not None
    assert all(len(table.pairs) == 3 for table in section.tables)


def test_the_readings_are_those_that_are_measured() -> None:
    assert {key: reading.label for key, reading in READINGS.items()} == suites.READINGS


def test_nothing_is_shown_where_nothing_was_measured(folders: dict[str, Path]) -> None:
    systems = [replace(one, metrics=one.metrics | {"tasks": {}}) for one in read_systems(folders, {})]
    assert build(systems, labels_of(folders), 200) is None


def test_what_was_left_out_and_cut_is_said() -> None:
    facts = suite_result(PLANTED[0], np.random.default_rng(0)) | {
        "damaged": 2,
        "shots": 3,
        "cut": 4,
        "with_fewer_shots": 5,
    }
    assert about(facts).startswith(
        "n = 60, 3-shot, chance 50%; 2 damaged rows left out; 5 questions with fewer examples than wanted; 4 questions"
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"n": 61},
        {"letter": None},
        {"items": {"id": [], "group": None, "right": {}}},
        {"adapter_sha256": "1"},
        {"tables": 3},
    ],
)
def test_a_damaged_result_is_refused_with_its_cure(
    folders: dict[str, Path], tmp_path: Path, damage: dict[str, Any]
) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    by_hand(tmp_path / "lora", PLANTED[1], groups=False, **damage)
    with pytest.raises(InputError, match=r"result\.json.*python -m pipeline tasks --method lora"):
        read_systems(folders, {"lora": tmp_path / "adapter"}, {"lora": tmp_path / "lora"})
