"""The bundled corpus: what selection may use is clean and varied, what it must throw away is there."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from common.files import read_json_lines
from data_prep.bundled.instructions import corpus, rows
from data_prep.bundled.instructions.dirt import Row, regional_rows, variant
from data_prep.bundled.instructions.rows import tasks
from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.plain_text import documents
from data_prep.config import INDONESIAN_SUBSETS, BundledConfig
from data_prep.rows.grouping import content_groups
from data_prep.rows.text import COLUMNS, normal_form
from eval.metrics.accuracy import AnswerKey, is_right

SEED = 42
CONFIG = BundledConfig()


@pytest.fixture(scope="module")
def usable() -> list[Row]:
    return [corpus.row_of(task) for task in tasks(CONFIG.rows, SEED)]


@pytest.fixture(scope="module")
def everything() -> list[Row]:
    return corpus.corpus_rows(tasks(CONFIG.rows, SEED), SEED)


def pair(row: Row) -> tuple[str, str]:
    return normal_form(str(row["input"])), normal_form(str(row["output"]))


def test_the_asked_number_of_usable_rows_is_written(usable: list[Row]) -> None:
    assert len(usable) == CONFIG.rows >= 6000


def test_no_usable_pair_occurs_twice(usable: list[Row]) -> None:
    assert len({pair(row) for row in usable}) == len(usable)


def test_usable_rows_fill_all_six_subsets_and_forty_templates(usable: list[Row]) -> None:
    subsets = Counter(row["subset_name"] for row in usable)
    assert set(subsets) == set(INDONESIAN_SUBSETS)
    assert min(subsets.values()) >= 80
    templates = {str(row["template_name"]) for row in usable}
    assert len(templates) >= 40


def test_safety_and_identity_rows_are_named_after_their_subset(usable: list[Row]) -> None:
    for row in usable:
        if row["subset_name"] in ("safety_prompt", "identity_prompt"):
            assert row["template_name"] == row["prompt_id"] == row["dataset_key"] == row["subset_name"]


def test_usable_rows_have_no_holes_and_no_stray_spaces(usable: list[Row]) -> None:
    for row in usable:
        for column in ("input", "output"):
            text = row[column]
            assert text
            assert text == text.strip()
            assert "  " not in text
            assert "{" not in text
            assert text[0].isupper() or text[0].isdigit() or text[0] == '"'


def test_content_groups_leave_enough_rows_on_both_sides(usable: list[Row]) -> None:
    columns = [[str(row[name]) for row in usable] for name in ("subset_name", "template_name", "input", "output")]
    groups = Counter(content_groups([str(number) for number in range(len(usable))], *columns))
    assert len(groups) > 2000
    assert max(groups.values()) < 100
    smallest_first = sorted(groups.values())
    pool = next(number for number in range(len(groups)) if sum(smallest_first[:number]) >= 394)
    assert len(usable) - sum(smallest_first[:pool]) > 5000


def test_every_usable_row_has_a_key_that_its_answer_satisfies(usable: list[Row], tmp_path: Path) -> None:
    corpus.write_answer_keys(tasks(CONFIG.rows, SEED), tmp_path / "keys.jsonl")
    keys = {key["input"]: key for key in read_json_lines(tmp_path / "keys.jsonl")}
    assert len(keys) == len(usable)
    for row in usable:
        key = keys[str(row["input"])]
        assert is_right(str(row["output"]), AnswerKey(key["kind"], tuple(key["required"]), tuple(key["forbidden"])))


def test_template_siblings_are_there(usable: list[Row]) -> None:
    answers = Counter((row["subset_name"], row["output"]) for row in usable)
    assert sum(count > 1 for count in answers.values()) > 300


def test_the_dirt_is_there(usable: list[Row], everything: list[Row]) -> None:
    six = [row for row in everything if row["subset_name"] in INDONESIAN_SUBSETS]
    assert len(everything) - len(six) > 250
    assert sum(row["input"] is None or row["output"] is None for row in everything) >= 20
    assert sum(row["input"] is not None and not row["input"].strip() for row in everything) >= 5
    whole = [row for row in six if row["input"] and row["output"] and row["input"].strip() and row["output"].strip()]
    exact = Counter((row["input"], row["output"]) for row in whole)
    assert sum(count - 1 for count in exact.values()) > 1000
    assert len(exact) - len({pair(row) for row in whole}) > 200  # variants in white space and Unicode
    assert {pair(row) for row in whole} == {pair(row) for row in usable}


def test_copies_of_safety_rows_abound_as_in_the_original(everything: list[Row]) -> None:
    counts = Counter(pair(row) for row in everything if row["subset_name"] == "safety_prompt" and row["input"])
    assert sum(count > 10 for count in counts.values()) > 100


def test_a_variant_is_another_text_with_the_same_normal_form() -> None:
    row: Row = {"input": "Apa arti kata résumé?", "output": "Ringkasan riwayat hidup."}
    for number in range(3):
        changed = variant(row, number)
        assert changed != row
        assert pair(changed) == pair(row)


def test_regional_rows_belong_to_other_subsets() -> None:
    assert not {row["subset_name"] for row in regional_rows(100)} & set(INDONESIAN_SUBSETS)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (
        [path.read_bytes() for path in corpus.write_corpus(tasks(600, seed), seed, tmp_path / name)]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_the_files_have_the_seven_columns(tmp_path: Path) -> None:
    paths = corpus.write_corpus(tasks(600, SEED), SEED, tmp_path)
    tables = [pq.read_table(path) for path in paths]
    assert all(tuple(table.column_names) == COLUMNS for table in tables)
    assert {str(field.type) for table in tables for field in table.schema} == {"string"}
    assert sum(table.num_rows for table in tables) > 600


def test_more_rows_than_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_of_five(chance: random.Random) -> list[Task]:
        return [Task("dolly", "dolly_five", "five", f"Bilangan {chance.randrange(5)}?", "Ya.")]

    monkeypatch.setattr(rows, "MAKERS", {"five": (1, one_of_five)})
    fixed = sum(len(content) for content in rows.closed())
    assert len(tasks(fixed + 5, SEED)) == fixed + 5
    with pytest.raises(InputError, match=r"data\.embedded\.rows: .*'five'"):
        tasks(fixed + 6, SEED)


def test_plain_text_never_answers_an_instruction_and_holds_no_chat(usable: list[Row]) -> None:
    told = documents(CONFIG.rows, SEED)
    assert told == documents(CONFIG.rows, SEED)
    assert len(told) > 5000
    assert not any("<|" in text for document in told for text in document)
    answers = {normal_form(str(row["input"])): normal_form(str(row["output"])) for row in usable}
    for beginning, continuation in told:
        answer = answers.get(normal_form(beginning))
        assert answer is None or answer not in normal_form(continuation)


def test_words_of_the_answers_occur_in_the_plain_text(usable: list[Row]) -> None:
    known = set(re.findall(r"\w+", "\n".join(corpus.plain_texts(CONFIG, SEED)).lower()))
    used = Counter(word for row in usable for word in re.findall(r"\w+", str(row["output"]).lower()))
    assert sum(count for word, count in used.items() if word in known) / used.total() > 0.95


def test_refusals_name_a_reason_and_never_comply(usable: list[Row]) -> None:
    refusals = [str(row["output"]) for row in usable if row["subset_name"] == "safety_prompt"]
    assert len(refusals) >= 100
    for answer in refusals:
        assert "tidak dapat membantu" in answer
        assert "karena" in answer
