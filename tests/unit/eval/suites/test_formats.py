"""Every suite in its published form, from rows written for these tests."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from eval.config import TASK_KINDS
from eval.suites.asking import alone, with_options
from eval.suites.formats import SUITES, read_suite
from eval.suites.questions import DamagedRowError, listed_options

COPA = {
    "premise": "Lantai dapur basah.",
    "choice1": "Atapnya bocor semalam.",
    "choice2": "Lampunya menyala.",
    "question": "cause",
    "idx": 7,
    "label": 0,
    "Terminology": 0,
    "Culture": 1,
    "Language": 0,
}
MAPS = {
    "proverb": "Besar pasak daripada tiang",
    "conversation": "Orang 1: Gajimu cukup? Orang 2: Besar pasak daripada tiang.",
    "explanation": "belanja melebihi pendapatan",
    "answer1": "Orang 2 menabung.",
    "answer2": "Orang 2 boros.",
    "is_figurative": 1,
    "answer_key": "b",
}
STORY = ("Rani menanam cabai.", "Ia menyiramnya tiap pagi.", "Daunnya tumbuh lebat.", "Buahnya mulai merah.")
CLOZE = {f"Kalimat-{number}": text for number, text in enumerate(STORY, start=1)} | {
    "Correct Ending": "Rani memetik cabainya.",
    "Incorrect Ending": "Rani membeli sepatu.",
}
CLOZE_ENGLISH = {f"sentence-{number}": text for number, text in enumerate(STORY, start=1)} | {
    "correct_ending": "Rani memetik cabainya.",
    "incorrect_ending": "Rani membeli sepatu.",
}
CULTURE = {
    "id": 3,
    "province": "Bali",
    "topic": "Makanan",
    "context": "Pada hari raya, keluarga itu",
    "options": "['A. membuat \"lawar\"', 'B. membuat papeda', \"C. membuat ketupat d'arang\"]",
    "answer": "A",
}
MMLU = {
    "subject": "IPA",
    "level": "SMP",
    "kelas": "7.0",
    "soal": "Air mendidih pada suhu ...",
    "jawaban": "A. 50 derajat\nB. 100 derajat\n   di permukaan laut\nC. 200 derajat",
    "kunci": "B",
    "is_for_fewshot": 0,
}
CAREER = {
    "ID": 1,
    "Subject": "Nurse",
    "Question": "Tekanan darah diukur dengan ...",
    **dict(
        zip((f"Option {letter}" for letter in "ABCDE"), ("tensimeter", "termometer", "stetoskop", "", ""), strict=True)
    ),
    "Answer Key": "A",
    "is_few_shot": 0,
}
BELEBELE = {
    "link": "https://example.org/a",
    "flores_passage": "Pasar dibuka pukul enam.",
    "question": "Kapan pasar dibuka?",
    **{f"mc_answer{number}": text for number, text in enumerate(("Malam", "Pukul enam", "Siang", "Sore"), start=1)},
    "correct_answer_num": "2",
}
GLOBAL = {
    "sample_id": "astronomy/test/1",
    "subject": "astronomy",
    "subject_category": "STEM",
    "question": "2 + 2?",
    **dict(zip((f"option_{letter}" for letter in "abcd"), "3456", strict=True)),
    "answer": "B",
}
NESTED = {
    "metadata": {"subject": "astronomy", "cultural_sensitivity_label": "CA"},
    "prompts": [{key: GLOBAL[key] for key in ("question", "option_a", "option_b", "option_c", "option_d")}],
    "label": "B",
    "id": 0,
}
NLI = {"premise_id": 5, "pair_id": 51, "premise": "Ani di rumah.", "hypothesis": "Ani di pasar.", "label": "c"}
MABL = {
    "startphrase": "Suaranya seperti guntur.",
    "ending1": "Suaranya pelan.",
    "ending2": "Suaranya keras.",
    "labels": 1,
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "copal": [COPA, COPA | {"idx": 8, "question": "effect", "label": 1}],
    "xcopa": [COPA],
    "maps": [MAPS],
    "indocloze": [CLOZE],
    "indoculture": [CULTURE],
    "indommlu": [MMLU, MMLU | {"jawaban": "\n".join(f"{letter}. x{letter}" for letter in "ABCDE"), "kunci": "E"}],
    "indocareer": [CAREER],
    "nusax": [
        {"id": 1, "text": "Rasanya enak.", "label": "positive"},
        {"id": 2, "text": "Buruk.", "label": "negative"},
    ],
    "belebele": [BELEBELE],
    "global_mmlu": [GLOBAL],
    "indonli": [NLI],
    "mabl": [MABL],
}


def write_csv(path: Path, rows: Sequence[dict[str, Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(stream.getvalue().encode(encoding))
    return path


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def test_the_profile_names_exactly_the_suites_that_are_read() -> None:
    assert set(TASK_KINDS) == set(SUITES) == set(ROWS)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_suite_is_read_from_csv_tsv_and_json_lines_alike(tmp_path: Path, kind: str) -> None:
    rows = ROWS[kind]
    found = [
        read_suite(kind, write_csv(tmp_path / "comma.csv", rows)),
        read_suite(kind, write_csv(tmp_path / "semicolon.csv", rows, ";", "utf-8-sig")),
        read_suite(kind, write_csv(tmp_path / "tab.tsv", rows, "\t", "utf-16")),
        read_suite(kind, write_lines(tmp_path / "lines.jsonl", rows)),
        read_suite(kind, _whole(tmp_path / "list.json", rows)),
    ]
    assert all(one == found[0] for one in found)
    assert found[0].damaged == 0
    assert len(found[0].questions) == len(rows)


def _whole(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(list(rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "options", "answer", "group", "words"),
    [
        ("copal", ("Atapnya bocor semalam.", "Lampunya menyala."), 0, None, "Apa penyebab yang mengakibatkan"),
        (
            "maps",
            ("Orang 2 menabung.", "Orang 2 boros."),
            1,
            "besar pasak daripada tiang",
            "Apakah arti dari Besar pasak",
        ),
        (
            "indoculture",
            ('membuat "lawar"', "membuat papeda", "membuat ketupat d'arang"),
            0,
            "Bali / Makanan",
            'Untuk konteks propinsi Bali, sambungan yang tepat dari kalimat "Pada hari raya, keluarga itu" adalah',
        ),
        (
            "indommlu",
            ("50 derajat", "100 derajat\ndi permukaan laut", "200 derajat"),
            1,
            "IPA / SMP",
            "Ini adalah soal IPA untuk 7 SMP. Pilihlah salah satu jawaban yang dianggap benar!",
        ),
        (
            "indocareer",
            ("tensimeter", "termometer", "stetoskop"),
            0,
            "Nurse",
            "Ini adalah soal Ilmu Keperawatan untuk ujian kompetensi profesi.",
        ),
        ("nusax", ("positif", "netral", "negatif"), 0, None, "Rasanya enak."),
        ("belebele", ("Malam", "Pukul enam", "Siang", "Sore"), 1, "https://example.org/a", "Pasar dibuka pukul enam."),
        ("global_mmlu", ("3", "4", "5", "6"), 1, "astronomy", "2 + 2?"),
        ("indonli", ("benar", "tidak pasti", "salah"), 2, "5", "Ani di pasar."),
        ("mabl", ("Suaranya pelan.", "Suaranya keras."), 1, "Suaranya pelan. / Suaranya keras.", "seperti guntur"),
    ],
)
def test_a_row_becomes_the_question_that_it_holds(
    tmp_path: Path, kind: str, options: tuple[str, ...], answer: int, group: str | None, words: str
) -> None:
    question = read_suite(kind, write_lines(tmp_path / "rows.jsonl", ROWS[kind])).questions[0]
    assert (question.options, question.answer, question.group) == (options, answer, group)
    assert words in question.stem
    assert "A. " not in alone(question)


def test_options_are_listed_as_the_authors_write_them(tmp_path: Path) -> None:
    question = read_suite("copal", write_lines(tmp_path / "rows.jsonl", [COPA])).questions[0]
    assert with_options(question) == (
        "Lantai dapur basah.\n\nApa penyebab yang mengakibatkan kejadian di atas?\n\n"
        "A. Atapnya bocor semalam.\nB. Lampunya menyala.\n\nJawaban:"
    )
    culture = read_suite("indoculture", write_lines(tmp_path / "rows.jsonl", [CULTURE])).questions[0]
    assert with_options(culture).endswith(
        'adalah\nA. membuat "lawar"\nB. membuat papeda\nC. membuat ketupat d\'arang\nJawaban:'
    )


def test_indocloze_has_two_headers_and_no_letter_that_is_always_right(tmp_path: Path) -> None:
    first = read_suite("indocloze", write_csv(tmp_path / "a.csv", [CLOZE])).questions
    second = read_suite("indocloze", write_csv(tmp_path / "b.csv", [CLOZE_ENGLISH])).questions
    assert first == second
    assert first[0].options[first[0].answer] == "Rani memetik cabainya."
    many = [CLOZE | {"Kalimat-1": f"Rani menanam {number} cabai."} for number in range(200)]
    places = [question.answer for question in read_suite("indocloze", write_csv(tmp_path / "c.csv", many)).questions]
    assert 70 < sum(places) < 130


def test_global_mmlu_is_read_flat_and_nested(tmp_path: Path) -> None:
    flat = read_suite("global_mmlu", write_lines(tmp_path / "a.jsonl", [GLOBAL])).questions[0]
    nested = read_suite("global_mmlu", write_lines(tmp_path / "b.jsonl", [NESTED])).questions[0]
    assert (flat.stem, flat.options, flat.answer, flat.group) == (
        nested.stem, nested.options, nested.answer, nested.group,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "column", "right"),
    [
        ("copal", "label", [0, "0", "0.0", "A", "a"]),
        ("maps", "answer_key", ["b", "B", 1, "1"]),
        ("global_mmlu", "answer", ["B", "b", 1, "1.0"]),
        ("belebele", "correct_answer_num", ["2", 2, "B"]),
        ("indonli", "label", ["c", "contradiction", 2]),
        ("nusax", "label", ["positive", "positif", "Positive"]),
    ],
)
def test_labels_may_be_letters_numbers_and_names(tmp_path: Path, kind: str, column: str, right: list[Any]) -> None:
    rows = [ROWS[kind][0] | {column: label} for label in right]
    found = read_suite(kind, write_lines(tmp_path / "rows.jsonl", rows))
    assert found.damaged == 0
    assert len({question.answer for question in found.questions}) == 1


def test_few_shot_rows_are_examples_and_no_questions(tmp_path: Path) -> None:
    rows = [MMLU, MMLU | {"soal": "Contoh ...", "is_for_fewshot": 1}]
    found = read_suite("indommlu", write_csv(tmp_path / "rows.csv", rows))
    assert [question.stem.endswith("Contoh ...\n") for question in found.shots] == [True]
    assert len(found.questions) == 1


def test_a_file_without_a_header_is_read_where_the_suite_has_such(tmp_path: Path) -> None:
    path = tmp_path / "valid.tsv"
    path.write_text('makanannya "enak, sekali\tpositive\ntidak enak\tnegative\n', encoding="utf-8")
    found = read_suite("nusax", path)
    assert [question.answer for question in found.questions] == [0, 2]
    assert '"enak, sekali' in found.questions[0].stem


def test_a_workbook_is_read(tmp_path: Path) -> None:
    path = write_workbook(tmp_path / "maps.xlsx", [list(MAPS), list(MAPS.values())])
    as_lines = read_suite("maps", write_lines(tmp_path / "maps.jsonl", [MAPS]))
    assert read_suite("maps", path) == as_lines


def write_workbook(path: Path, cells: list[list[Any]]) -> Path:
    """Texts as shared strings, numbers as they are."""
    name = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    shared: list[str] = []
    rows = []
    for number, line in enumerate(cells, start=1):
        row = ""
        for place, value in enumerate(line):
            reference = f'r="{chr(ord("A") + place)}{number}"'
            if isinstance(value, str):
                shared.append(value.replace("&", "&amp;"))
                row += f'<c {reference} t="s"><v>{len(shared) - 1}</v></c>'
            else:
                row += f"<c {reference}><v>{float(value)}</v></c>"
        rows.append(f'<row r="{number}">{row}</row>')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/sharedStrings.xml", f'<sst xmlns="{name}">{"".join(f"<si><t>{s}</t></si>" for s in shared)}</sst>'
        )
        sheet = f'<worksheet xmlns="{name}"><sheetData>{"".join(rows)}</sheetData></worksheet>'
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return path


def test_a_workbook_that_declares_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "maps.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(InputError, match="declares entities"):
        read_suite("maps", path)


def test_damaged_rows_are_counted_and_the_first_reason_is_said(tmp_path: Path) -> None:
    rows = [
        COPA,
        COPA | {"label": 2},
        COPA | {"choice2": ""},
        COPA | {"question": "why"},
        COPA | {"label": "benar"},
        COPA | {"label": -1},
    ]
    found = read_suite("copal", write_csv(tmp_path / "rows.csv", rows))
    assert (len(found.questions), found.damaged) == (1, 5)
    assert found.reason == "row 2: the answer is option 3 of 2"
    path = tmp_path / "short.csv"
    path.write_text("premise,choice1,choice2,question,label\na,b,c,cause,0\na,b,cause,0\n", encoding="utf-8")
    assert read_suite("copal", path).reason == "row 2: more or fewer cells than the header"


@pytest.mark.parametrize(
    "options",
    [
        "__import__('os').system('true')",
        "['A. x', open('y')]",
        "[" * 5000,
        "['A. x'",
        "[1, 2]",
        "['A. sendiri']",
        "['A. a', 'B. b', 'C. c', 'D. d', 'E. e', 'x']",
        "['A. a', 'B. ']",
    ],
)
def test_options_that_are_no_list_of_texts_are_a_damaged_row(tmp_path: Path, options: str) -> None:
    rows = [CULTURE, CULTURE | {"options": options}]
    assert read_suite("indoculture", write_csv(tmp_path / "rows.csv", rows)).damaged == 1


def test_options_lose_their_letters_and_keep_their_lines() -> None:
    assert listed_options("A. satu\nB. dua\n dan lagi\nC) tiga") == ("satu", "dua\ndan lagi", "tiga")
    assert listed_options(["satu", "dua"]) == ("satu", "dua")
    with pytest.raises(DamagedRowError, match="not a list"):
        listed_options(3)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_missing_column_is_named_beside_those_that_are_there(tmp_path: Path, kind: str) -> None:
    for names in SUITES[kind].columns:
        rows = [{key: value for key, value in row.items() if key not in names} for row in ROWS[kind]]
        with pytest.raises(InputError) as fault:
            read_suite(kind, write_csv(tmp_path / "rows.csv", rows))
        assert names[0] in str(fault.value)
        assert len(str(fault.value)) <= 300


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[" * 100_000, b"3", b"null", b"[1]", b"\xc3(", b"", b"PK\x03\x04"]
)
def test_a_file_of_another_shape_is_the_users_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"--file: .*rows\.jsonl"):
        read_suite("xcopa", path)
    with pytest.raises(InputError, match="no such file"):
        read_suite("xcopa", tmp_path / "absent.csv")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\v"])
def test_a_line_of_json_ends_at_the_line_feed_alone(tmp_path: Path, separator: str) -> None:
    rows = [{"text": f"Enak{separator}sekali.", "label": "positive"}] * 2
    found = read_suite("nusax", write_lines(tmp_path / "rows.jsonl", rows))
    assert [f"Enak{separator}sekali." in question.stem for question in found.questions] == [True, True]
