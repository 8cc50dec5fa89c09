"""Rules of Indonesian spelling and sense, each over every row and many documents of the world."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from data_prep.bundled.instructions import rows, verse
from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language import headed, plain_text
from data_prep.bundled.language.content import WEEKDAYS, spelled
from data_prep.bundled.language.events import names, verbs
from data_prep.bundled.language.tables import column, table
from data_prep.rows.text import normal_form
from eval.metrics.accuracy import AnswerKey, is_right

PLACES = "rumah|pasar|toko|warung|kelas|kamar|taman|kebun|halaman|sekolah|kantor|jalan|pantai|sungai|stasiun"
SENTENCE = re.compile(r"(?<=[.!?])\s+")


@cache
def tasks() -> list:
    return rows.tasks(8000, 42)


@cache
def documents() -> list:
    return [*plain_text.documents(4000, 42), *plain_text.documents(2000, 43, plain_text.MOSTLY_NOTES)]


@cache
def texts() -> tuple[str, ...]:
    asked = [text for task in tasks() for text in (task.prompt, task.answer)]
    told = [part for document in documents() for part in document]
    return (*asked, *told)


def key_of(task: Task) -> AnswerKey:
    return AnswerKey(task.kind, task.required, task.forbidden)


def matching(pattern: str) -> list[str]:
    return [text for text in texts() if re.search(pattern, text)]


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r", (karena|sebab|sehingga|bahwa|supaya|agar)\b", id="comma before a subordinate clause"),
        pytest.param(r"  | [,.?!:;]|,[^\s\"]|\.\.|\?\?", id="spacing of marks"),
        pytest.param(rf"\bdi({PLACES})\b", id="di joined to a place"),
        pytest.param(rf"\bke({PLACES})\b", id="ke joined to a place"),
        pytest.param(r"\b(\w+) \1\b", id="a word doubled"),
        pytest.param(r"bukan \w+ maupun|deterjen|programmer|topeng|merubah|dirubah|di karenakan", id="words to avoid"),
        pytest.param(r"(?i)\babad tahun|ibukota\b|propinsi\b|sumatra (utara|barat|selatan)\b", id="names and terms"),
        pytest.param(r"tidak tidak|bukan bukan", id="two negatives"),
    ],
)  # fmt: skip
def test_no_text_breaks_the_rule(pattern: str) -> None:
    # "Gorontalo Gorontalo" and the like cannot occur; "sepuluh puluh" would be a doubled part, not a doubled word.
    assert matching(pattern) == []


def test_passive_prefix_is_joined_to_its_verb() -> None:
    stems = "|".join(verb.passive.removeprefix("di") for verb in verbs())
    assert matching(rf"\bdi ({stems})\b") == []


def test_no_sentence_begins_with_a_digit() -> None:
    begun = [
        text
        for text in texts()
        if any(
            re.match(r"\d", sentence) and not re.match(r"\d\. [A-Z]|\d\.$", sentence)
            for sentence in SENTENCE.split(text)
        )
    ]
    assert begun == []


def test_sentences_begin_with_a_capital_and_end_with_a_mark() -> None:
    for task in tasks():
        assert re.match(r"[A-Z\"\d{]", task.prompt), task.prompt
        assert re.match(r"[A-Z\d]", task.answer), task.answer
        assert task.answer[-1] in ".?", task.answer


def test_proper_names_keep_their_capitals() -> None:
    proper = {*names(), *WEEKDAYS, "Indonesia", "Pulau Sumatra", "Pulau Jawa"}
    proper |= {word for row in table("provinces") for word in f"{row['province']} {row['capital']}".split()}
    lower = "|".join(
        sorted(
            re.escape(name.lower())
            for name in proper
            - {
                "Bali",
                "Tengah",
                "Barat",
                "Selatan",
                "Utara",
                "Timur",
                "Daya",
                "Istimewa",
                "Daerah",
                "Besar",
                "Minggu",
                "Bandar",
                "Surya",
                "Intan",
                "Bayu",
                "Sari",
                "Putri",
                "Laras",
                "Raya",
                "Palu",
                "Padang",
                "Serang",
                "Kepulauan",
                "Kabut",
            }
        )
    )
    assert matching(rf"\b({lower})\b") == []


def test_prompts_differ() -> None:
    assert len({normal_form(task.prompt) for task in tasks()}) == len(tasks()) == 8000


def test_there_are_many_templates_in_six_subsets() -> None:
    assert len({task.template for task in tasks()}) >= 40
    assert {task.subset for task in tasks()} == {
        "wikipedia_id", "indo_puisi", "wikihow", "safety_prompt", "dolly", "identity_prompt",
    }  # fmt: skip


def test_the_reference_is_right() -> None:
    assert [task for task in tasks() if not is_right(task.answer, key_of(task))] == []


def test_the_prompt_alone_is_no_right_answer_to_a_question() -> None:
    """A checker that the prompt itself satisfies would check nothing (a story holds the wrong facts too)."""
    questions = [task for task in tasks() if task.kind.startswith(("fact_", "odd_one", "compare", "passive"))]
    assert [task.prompt for task in questions if is_right(task.prompt, key_of(task))] == []


def test_documents_differ_and_repeat_no_sentence() -> None:
    joined = [" ".join(document) for document in documents()]
    assert len(set(joined[:4000])) == 4000
    assert len(set(joined[4000:])) == 2000
    for text in joined:
        if "\n" not in text:
            sentences = [sentence.lower() for sentence in SENTENCE.split(text)]
            assert len(set(sentences)) == len(sentences), text


def test_no_document_denies_what_it_tells() -> None:
    for document in documents():
        sentences = SENTENCE.split(" ".join(document))
        told = {sentence.removeprefix("Benar, ") for sentence in sentences}
        denied = {sentence.replace(" tidak ", " ", 1) for sentence in sentences if " tidak " in sentence}
        assert not told & denied, document


def test_no_instruction_stands_beside_its_answer() -> None:
    asked = {task.prompt: task.answer for task in tasks()}
    for head, tail in documents():
        assert asked.get(head) != tail
        assert tail not in {asked.get(head, "")}


def test_a_heading_asks_nothing_and_what_stands_under_it_fits_the_text() -> None:
    asked = {task.prompt for task in tasks()}
    for number in range(3000):
        maker = headed.exercise if number % 3 == 0 else headed.document
        begin, told = maker(random.Random(number))
        assert "?" not in begin
        assert begin not in asked
        assert "?" not in told or "Kalimat tanya" in begin + told
        if "Kabar bahwa" not in begin:  # of a name in a note, the text or the heading knows
            assert [name for name in names() if name in told and name not in begin] == []


def test_all_provinces_are_there() -> None:
    provinces = column("provinces", "province")
    capitals = [capital for capital in column("provinces", "capital") if capital]
    assert len(provinces) == len(set(provinces)) == 38
    assert len(capitals) == len(set(capitals)) == 37  # Jakarta has none of its own
    told = " ".join(" ".join(document) for document in documents())
    assert [place for place in (*provinces, *column("countries", "country")) if place not in told] == []


def test_opposites_are_one_to_one() -> None:
    words = [row[field] for row in table("opposites") for field in ("first", "second")]
    assert len(set(words)) == len(words)


def syllables(line: str) -> int:
    """Vowels, a diphthong at the end of a word counted once."""
    return len(re.findall(r"ai\b|au\b|[aeiou]", line.lower()))


def test_lines_of_verse_have_eight_to_twelve_syllables() -> None:
    assert [row["line"] for row in table("pantun") if not 8 <= syllables(row["line"]) <= 12] == []


def test_lines_of_verse_rhyme_as_the_table_says() -> None:
    endings = {"a": "a", "i": "i", "n": "an", "ng": "ang", "r": "ar"}
    assert [
        row["line"] for row in table("pantun") if not verse.last_word(row["line"]).endswith(endings[row["rhyme"]])
    ] == []


def test_numerals_are_spelled_as_a_library_does() -> None:
    from num2words import num2words

    assert [spelled(value) for value in range(1000)] == [num2words(value, lang="id") for value in range(1000)]


def test_weekdays_are_those_of_unicode_cldr() -> None:
    from babel import Locale

    assert [Locale("id").days["format"]["wide"][number] for number in range(7)] == list(WEEKDAYS)
