"""Content groups: rows that say the same thing are one group, rows that say different things are not."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from data_prep.rows.grouping import Affix, content_groups, template_affix
from tests.support.cendol_rows import article_rows, poem_rows, question_rows


def groups_of(rows: list[dict[str, Any]]) -> list[str]:
    columns = [[item[name] for item in rows] for name in ("subset_name", "template_name", "input", "output")]
    return content_groups([f"{number:04d}" for number in range(len(rows))], *columns)


def test_template_siblings_share_a_group_and_different_content_does_not() -> None:
    rows = [*article_rows(40), *poem_rows(12), *question_rows(30)]
    groups = groups_of(rows)
    assert len(set(groups)) == 40 + 12 + 30
    assert max(Counter(groups).values()) == 4
    last_lines: defaultdict[str, set[str]] = defaultdict(set)
    for item, group in zip(rows, groups, strict=True):
        if item["subset_name"] == "indo_puisi":
            text = item["input"] if item["output"] == "Pantun" else item["output"]
            last_lines[group].add(text.split("\n")[-1])
    assert all(len(lines) == 1 for lines in last_lines.values())


def test_a_constant_answer_does_not_glue_questions_together() -> None:
    refusal = "Maaf, jawaban untuk pertanyaan tersebut tidak ditemukan di dalam teks."
    rows = [{**item, "output": refusal} if number % 2 else item for number, item in enumerate(question_rows(60))]
    assert len(set(groups_of(rows))) == 60


def test_a_group_is_named_after_its_smallest_id() -> None:
    rows = article_rows(3)
    assert groups_of(rows) == ["0000", "0000", "0002", "0002", "0004", "0004"]


def test_the_words_of_a_template_are_those_that_nearly_all_its_texts_begin_or_end_with() -> None:
    texts = [["apa", "itu", name, "menurut", "kamu"] for name in ("kopi", "teh", "susu", "air", "jamu")]
    assert template_affix(texts) == Affix(2, 2)
    assert template_affix(texts[:4]) == Affix(0, 0)  # too few to tell
    assert Affix(2, 2).strip(texts[0]) == ["kopi"]
