"""Which three answers stand on the first screen: by the rule, found again here item by item."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from eval.report.labels import labels_of
from eval.report.load import System, read_systems
from eval.report.sections.parts import examples
from tests.support.report import STANDARD, items, write_evaluation


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> list[System]:
    root = tmp_path_factory.mktemp("evaluations")
    for planted in STANDARD:
        write_evaluation(root / planted.name, planted, items(60), keyed=True)
    return read_systems({planted.name: root / planted.name for planted in STANDARD}, {})


def with_items(system: System, **changes: object) -> System:
    return replace(system, items=[item | changes for item in system.items])


def shown(systems: list[System]) -> list[int]:
    section = examples.build(systems, labels_of(system.name for system in systems))
    return [item.number - 1 for item in section.items]


def test_the_first_items_of_three_subsets_that_only_the_best_adapter_answers_right(systems: list[System]) -> None:
    base, best = systems[0], systems[3]
    assert examples.best_adapter(systems).name == "pissa"
    told = [row for row in range(60) if best.items[row]["right"] and base.items[row]["right"] is False]
    firsts: list[int] = []
    for row in told:
        if best.items[row]["subset_name"] not in {best.items[one]["subset_name"] for one in firsts}:
            firsts.append(row)
    assert shown(systems) == firsts[:3]
    assert all(len(item.answers) == 4 for item in examples.build(systems, labels_of(s.name for s in systems)).items)


def test_without_such_items_each_subset_gives_its_median_gain(systems: list[System]) -> None:
    unkeyed = [with_items(system, right=None) for system in systems]
    base, best = unkeyed[0], unkeyed[3]
    rows = shown(unkeyed)
    gains = [best.items[row]["scores"]["chrf"] - base.items[row]["scores"]["chrf"] for row in range(60)]
    assert len({best.items[row]["subset_name"] for row in rows}) == 3
    for row in rows:
        own = [gains[one] for one in range(60) if best.items[one]["subset_name"] == best.items[row]["subset_name"]]
        assert gains[row] == statistics.median_low(own)


def test_one_subset_gives_three_different_items_and_few_items_as_many_as_there_are(systems: list[System]) -> None:
    alike = [with_items(system, right=None, subset_name="a") for system in systems]
    assert len(set(shown(alike))) == 3
    assert shown([replace(system, items=system.items[:2]) for system in alike]) == [0, 1]
    assert len(shown(alike[:1])) == 3, "the base alone"
    assert len(shown(alike[1:])) == 3, "no base"
