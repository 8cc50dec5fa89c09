"""The split: exact counts, disjoint content, clean by a brute-force check, the same rows every time."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.config import DataConfig
from data_prep.rows.text import folded_words
from data_prep.select.selection import select
from data_prep.split.splitting import split
from tests.support.cendol_rows import article_rows, poem_rows, question_rows, row, sentence, write_rows

REAL_SPLITS = "REAL_SPLITS"


def family_rows(count: int) -> list[dict[str, Any]]:
    """Articles a machine wrote: one sentence, another name each time; near-duplicates of one another."""
    rng = random.Random(9)
    frame = sentence(rng, 25)
    titles = [sentence(rng, 2) for _ in range(count)]
    return [
        row("wikipedia_id", "wikipedia_section_1", f"Jelaskan apa itu {name}.", f"{name} {frame}") for name in titles
    ]


def prepare(folder: Path, rows: list[dict[str, Any]], clusters: int) -> dict[str, Path]:
    """Candidates with random vectors and clusters of unequal size."""
    paths = {name: folder / f"{name}.parquet" for name in ("candidates", "clusters", "ids")}
    source = write_rows(folder / "rows.parquet", rows)
    facts = folder / "select.json"
    select(DataConfig(sample_fraction=1.0), files=[source], seed=42, candidates=paths["candidates"], facts=facts)
    ids = pq.read_table(paths["candidates"], columns=["id"])
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ids.num_rows, 8)).astype(np.float32)
    np.save(folder / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    pq.write_table(ids, paths["ids"])
    labels = np.minimum(rng.geometric(0.4, ids.num_rows) - 1, clusters - 1).astype(np.int32)
    pq.write_table(pa.table({"id": ids["id"], "cluster": labels}), paths["clusters"])
    return {**paths, "embeddings": folder / "vectors.npy"}


def run(folder: Path, inputs: dict[str, Path], seed: int = 42, **changes: Any) -> dict[str, pa.Table]:
    settings = {"clusters": 4, "per_cluster": 40, "test_pool": 40, "test_size": 16} | changes
    split(DataConfig(**settings), **inputs, seed=seed, splits=folder / "splits", facts=folder / "leakage.json")
    return {name: pq.read_table(folder / "splits" / f"{name}.parquet") for name in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    rows = [*article_rows(120), *poem_rows(30), *question_rows(60), *family_rows(60)]
    return prepare(tmp_path_factory.mktemp("candidates"), rows, clusters=4)


def leaky_pairs(held: pa.Table, others: pa.Table) -> list[tuple[str, str, str]]:
    """All pairs, with plain Python sets: same group, pair, answer of 8 words, 13-word shingle, Jaccard 0.8."""

    def facts(item: dict[str, Any]) -> tuple[Any, ...]:
        given, answer = folded_words(item["input"]), folded_words(item["output"])
        runs = {("input", *given[place : place + 13]) for place in range(len(given) - 12)}
        runs |= {("output", *answer[place : place + 13]) for place in range(len(answer) - 12)}
        return item, tuple(answer), set(answer), {*given, *answer}, runs

    found = []
    theirs = [facts(item) for item in others.to_pylist()]
    for one, answer, answer_set, all_words, runs in map(facts, held.to_pylist()):
        for other, answer2, answer_set2, all_words2, runs2 in theirs:
            kinds = {
                "group": one["group"] == other["group"],
                "pair": (one["input"], one["output"]) == (other["input"], other["output"]),
                "answer": len(answer) >= 8 and answer == answer2,
                "shingle": bool(runs & runs2),
                "words": len(all_words & all_words2) >= 0.8 * len(all_words | all_words2),
                "answer words": min(len(answer), len(answer2)) >= 8
                and len(answer_set & answer_set2) >= 0.8 * len(answer_set | answer_set2),
            }
            found += [(kind, one["id"], other["id"]) for kind, leaks in kinds.items() if leaks]
    return found


def test_sizes_are_exact_and_no_row_stands_twice(tmp_path: Path, inputs: dict[str, Path]) -> None:
    sides = run(tmp_path, inputs)
    assert {name: side.num_rows for name, side in sides.items()} == {"train": 144, "validation": 16, "test": 16}
    ids = [identity for side in sides.values() for identity in side["id"].to_pylist()]
    assert len(set(ids)) == len(ids)


def test_brute_force_finds_nothing_on_two_sides(tmp_path: Path, inputs: dict[str, Path]) -> None:
    sides = run(tmp_path, inputs)
    seen = pa.concat_tables([sides["train"], sides["validation"]])
    assert leaky_pairs(sides["test"], seen) == []
    assert leaky_pairs(sides["validation"], sides["train"]) == []
    facts = json.loads((tmp_path / "leakage.json").read_text())
    assert facts["before"]["row_disjoint_test"]["any"] > 0
    assert not any(count for side in facts["after"].values() for count in side.values())


@pytest.mark.skipif(REAL_SPLITS not in os.environ, reason=f"{REAL_SPLITS} does not name a folder of splits")
def test_brute_force_finds_nothing_in_real_splits() -> None:
    sides = {
        name: pq.read_table(Path(os.environ[REAL_SPLITS]) / f"{name}.parquet")
        for name in ("train", "validation", "test")
    }
    assert leaky_pairs(sides["test"], pa.concat_tables([sides["train"], sides["validation"]])) == []
    assert leaky_pairs(sides["validation"], sides["train"]) == []


def test_test_rows_are_of_different_content(tmp_path: Path, inputs: dict[str, Path]) -> None:
    groups = run(tmp_path, inputs)["test"]["group"].to_pylist()
    assert len(set(groups)) == len(groups)


def test_boilerplate_is_replaced_in_the_test_and_recorded_with_its_twin(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    run(tmp_path, inputs)
    removed = json.loads((tmp_path / "leakage.json").read_text())["removed"]
    replaced = [item for item in removed if item["from"] == "test"]
    assert replaced
    assert all(item["id"] != item["twin"] and item["row_output"] and item["twin_output"] for item in removed)


def test_every_row_barred_from_training_is_recorded_with_its_twin(tmp_path: Path, inputs: dict[str, Path]) -> None:
    sides = run(tmp_path, inputs)
    facts = json.loads((tmp_path / "leakage.json").read_text())
    barred = {item["id"] for item in facts["removed"] if item["from"] == "training"}
    assert len(barred) == facts["pool"]["barred_from_training"] - facts["pool"]["rows"]
    group_of = dict(
        zip(*(pq.read_table(inputs["candidates"])[name].to_pylist() for name in ("id", "group")), strict=True)
    )
    siblings = {item["id"]: item["twin"] for item in facts["removed"] if item["class"] == "content_group"}
    assert siblings
    assert all(group_of[one] == group_of[twin] for one, twin in siblings.items())
    tested = {group_of[identity] for identity in sides["test"]["id"].to_pylist()}
    expected = {identity for identity, group in group_of.items() if group in tested}
    assert expected <= siblings.keys() | set(siblings.values()) | set(sides["test"]["id"].to_pylist())
    assert not barred & {identity for side in sides.values() for identity in side["id"].to_pylist()}


def test_short_clusters_are_topped_up_and_counted(tmp_path: Path, inputs: dict[str, Path]) -> None:
    sides = run(tmp_path, inputs, per_cluster=70)
    quota = json.loads((tmp_path / "leakage.json").read_text())["quota"]
    drawn = Counter(sides["train"]["cluster"].to_pylist()) + Counter(sides["validation"]["cluster"].to_pylist())
    for entry in quota["clusters"]:
        assert drawn[entry["cluster"]] == entry["taken"] <= entry["available"]
        assert entry["taken"] >= min(entry["quota"], entry["available"])
    assert quota["topped_up"] == sum(max(0, entry["taken"] - entry["quota"]) for entry in quota["clusters"]) > 0
    assert sum(entry["taken"] for entry in quota["clusters"]) == 280


def test_proportional_and_root_quotas_follow_the_sizes(tmp_path: Path, inputs: dict[str, Path]) -> None:
    for rule, power in (("proportional", 1.0), ("sqrt", 0.5)):
        run(tmp_path, inputs, quota=rule)
        entries = json.loads((tmp_path / "leakage.json").read_text())["quota"]["clusters"]
        weights = np.array([entry["rows"] for entry in entries]) ** power
        assert np.abs(np.array([entry["quota"] for entry in entries]) - 160 * weights / weights.sum()).max() < 1.01


def test_test_set_is_stratified_by_template(tmp_path: Path, inputs: dict[str, Path]) -> None:
    sides = run(tmp_path, inputs, test_pool=40, test_size=40)
    candidates = Counter(pq.read_table(inputs["candidates"])["template_name"].to_pylist())
    found = Counter(sides["test"]["template_name"].to_pylist())
    for template in ("wikipedia_section_0", "wikipedia_section_2", "dolly_closed_qa"):
        assert found[template] >= int(40 * candidates[template] / sum(candidates.values()))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_rows(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    bytes_of = []
    for part, seed in enumerate((42, 42, 43)):
        run(tmp_path / str(part), inputs, seed=seed)
        bytes_of.append((tmp_path / str(part) / "splits" / "test.parquet").read_bytes())
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per_cluster": 1000}, r"data\.per_cluster: 1000 x 4 clusters are 4,000 rows"),
        ({"test_pool": 5000}, r"data\.test_pool: 5000"),
        ({"validation_fraction": 0.999}, r"data\.validation_fraction"),
    ],
)
def test_too_few_rows_is_an_error_that_says_what_there_is(
    tmp_path: Path, inputs: dict[str, Path], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(tmp_path, inputs, **changes)
    assert not (tmp_path / "splits").exists()


def test_foreign_embeddings_are_refused(tmp_path: Path, inputs: dict[str, Path]) -> None:
    foreign = tmp_path / "ids.parquet"
    table = pq.read_table(inputs["ids"])
    pq.write_table(table.slice(1), foreign)
    with pytest.raises(InputError, match="run the stage embed again"):
        run(tmp_path, {**inputs, "ids": foreign})
