"""The suites: the columns of each published form, and the question in a row.

The Indonesian wording of COPAL-ID, MAPS, IndoCloze, IndoCulture, IndoMMLU and IndoCareer is that of the suites' authors
(Koto et al. 2023 and 2024, and the evaluation code published with IndoCareer, Koto 2025); XCOPA is asked as COPAL-ID.
The others have no Indonesian wording of their own and are asked in ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from common.errors import InputError, one_line
from eval.suites.careers import EXAMS, FIELDS
from eval.suites.questions import LETTERS, Cells, DamagedRowError, Question, listed_options
from eval.suites.rows import column, read_rows

SENTIMENTS = ("positif", "netral", "negatif")
RELATIONS = ("benar", "tidak pasti", "salah")
CHOOSE = "Pilihlah salah satu jawaban yang dianggap benar!"


@dataclass(frozen=True)
class Suite:
    """How a suite's rows are read.

    columns: what every row needs, each by the names under which it is published. groups: what the items of a group
    share; empty where a suite has none. headless: the columns of a file without a header line.
    """

    title: str
    columns: tuple[tuple[str, ...], ...]
    parse: Callable[[Cells], Question]
    groups: str = ""
    headless: tuple[str, ...] = ()

    @property
    def known(self) -> set[str]:
        return {column(name) for names in self.columns for name in names}


@dataclass(frozen=True)
class SuiteFile:
    """Questions, the suite's own few-shot rows, and how many rows hold none, with the first reason."""

    questions: tuple[Question, ...]
    shots: tuple[Question, ...]
    damaged: int = 0
    reason: str = ""


def read_suite(kind: str, path: Path, key: str = "--file") -> SuiteFile:
    """Read a file of a suite's published form.

    Args:
        key: of the setting that names the file, for errors.

    Raises:
        InputError: no such file; no row of the suite's form; or a column that is missing, named.
    """
    suite = SUITES[kind]
    try:
        rows = read_rows(path, suite.known, suite.headless)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    there = {name for row in rows for name in row if name}
    missing = [" or ".join(names) for names in suite.columns if not there & {column(name) for name in names}]
    if missing:
        raise InputError(
            f"{key}: {path}: not of the form {kind}: no column {', '.join(missing)} among {', '.join(sorted(there))}"
        )
    questions, reasons = [], []
    for number, row in enumerate(rows, start=1):
        try:
            if "" in row:
                raise DamagedRowError("more or fewer cells than the header")
            questions.append(suite.parse(Cells(row, number)))
        except DamagedRowError as error:
            reasons.append(one_line(f"row {number}: {error}", 160))
    tested = tuple(_with_different_ids([question for question in questions if not question.shot]))
    shots = tuple(question for question in questions if question.shot)
    if not tested:
        raise InputError(f"{key}: {path}: no question of the form {kind} in {len(rows)} rows; {(reasons or [''])[0]}")
    return SuiteFile(tested, shots, len(reasons), reasons[0] if reasons else "")


def _with_different_ids(questions: Sequence[Question]) -> list[Question]:
    """Where ids occur twice, all of them get their place in the file behind them."""
    ids = [question.id for question in questions]
    if len(set(ids)) == len(ids):
        return list(questions)
    return [replace(question, id=f"{question.id}#{place}") for place, question in enumerate(questions, start=1)]


def _copa(cells: Cells) -> Question:
    asked = {
        "cause": "Apa penyebab yang mengakibatkan kejadian di atas?",
        "effect": "Apa akibat yang paling mungkin timbul dari kejadian di atas?",
    }
    kind = cells.text("question").casefold()
    if kind not in asked:
        raise DamagedRowError(f"question: {kind[:40]!r} is neither cause nor effect")
    return Question(
        id=cells.maybe("idx") or str(cells.number),
        stem=f"{cells.text('premise')}\n\n{asked[kind]}\n\n",
        options=(cells.text("choice1"), cells.text("choice2")),
        answer=cells.place("label"),
        facets={"question": kind} | cells.facets(terminology="Terminology", culture="Culture", language="Language"),
        close="\n\nJawaban:",
    )


def _maps(cells: Cells) -> Question:
    proverb = cells.text("proverb")
    return Question(
        id=str(cells.number),
        stem=f"Perhatikan percakapan berikut!\n\n{cells.text('conversation')}\n\nApakah arti dari {proverb}?\n\n",
        options=(cells.text("answer1"), cells.text("answer2")),
        answer=cells.place("answer_key"),
        group=proverb.casefold(),
        facets={"figurative": "yes" if cells.is_true("is_figurative") else "no"},
        close="\n\nJawaban:",
    )


def _indocloze(cells: Cells) -> Question:
    story = " ".join(cells.text(f"Kalimat-{number}", f"sentence-{number}") for number in range(1, 5))
    endings = (cells.text("Correct Ending", "correct_ending"), cells.text("Incorrect Ending", "incorrect_ending"))
    # the file has the right ending always first; the story decides its place, so that no letter is right by habit
    place = xxhash.xxh3_64_intdigest(story.encode()) % 2
    return Question(
        id=str(cells.number),
        stem=f"Pilihlah kelanjutan dari kalimat berikut yang benar!\n\n{story}\n",
        options=endings[::-1] if place else endings,
        answer=place,
    )


def _indoculture(cells: Cells) -> Question:
    province = cells.text("province")
    place = f'Untuk konteks propinsi {province}, sambungan yang tepat dari kalimat "{cells.text("context")}" adalah\n'
    facets = {"province": province} | cells.facets(topic="topic")
    return Question(
        id=cells.maybe("id") or str(cells.number),
        stem=place,
        options=listed_options(cells.get("options")),
        answer=cells.place("answer"),
        group=" / ".join(facets.values()),
        facets=facets,
    )


def _indommlu(cells: Cells) -> Question:
    subject, level = cells.text("subject"), cells.text("level")
    year = cells.maybe("kelas", "class")
    school = "seleksi masuk universitas" if level == "Seleksi PTN" else f"{_whole(year)} {level}" if year else level
    return Question(
        id=cells.maybe("id") or str(cells.number),
        stem=f"Ini adalah soal {subject} untuk {school}. {CHOOSE}\n\n{cells.text('soal', 'question')}\n",
        options=listed_options(cells.get("jawaban", "options")),
        answer=cells.place("kunci", "answer"),
        group=f"{subject} / {level}",
        facets={"subject": subject, "level": level},
        shot=cells.is_true("is_for_fewshot"),
        close="\n\nJawaban:",
    )


def _whole(number: str) -> str:
    """A school year as people write it: a spreadsheet's 7.0 is 7."""
    return number.removesuffix(".0")


def _indocareer(cells: Cells) -> Question:
    field = cells.text("Subject")
    name = f"{FIELDS.get(field, field)}{EXAMS.get(field, '')}"
    given = [cells.maybe(f"Option {letter}") for letter in LETTERS]
    options = tuple(option for option in given if option is not None)
    if any(option is None for option in given[: len(options)]):
        raise DamagedRowError("an option is missing before the last")
    return Question(
        id=cells.maybe("ID") or str(cells.number),
        stem=f"Ini adalah soal {name}. {CHOOSE}\n\n{cells.text('Question')}\n",
        options=options,
        answer=cells.place("Answer Key"),
        group=field,
        facets={"subject": field} | cells.facets(sector="Sector"),
        shot=cells.is_true("is_few_shot"),
        close="\n\nJawaban:",
    )


def _nusax(cells: Cells) -> Question:
    label = {"positive": 0, "neutral": 1, "negative": 2} | {name: place for place, name in enumerate(SENTIMENTS)}
    answer = cells.one_of(label, "label")
    return Question(
        id=cells.maybe("id") or str(cells.number),
        stem=f"Apa sentimen kalimat ini: positif, netral, atau negatif?\n\n{cells.text('text')}\n\n",
        options=SENTIMENTS,
        answer=answer,
        facets={"label": SENTIMENTS[answer]},
    )


def _belebele(cells: Cells) -> Question:
    passage = cells.text("flores_passage")
    return Question(
        id=str(cells.number),
        stem=f"{passage}\n\nPertanyaan: {cells.text('question')}\n",
        options=tuple(cells.text(f"mc_answer{number}") for number in range(1, 5)),
        answer=cells.place("correct_answer_num", first=1),
        group=cells.maybe("link") or xxhash.xxh3_64_hexdigest(passage.encode()),
    )


def _global_mmlu(cells: Cells) -> Question:
    return Question(
        id=cells.maybe("sample_id", "id") or str(cells.number),
        stem=f"{CHOOSE}\n\n{cells.text('question')}\n",
        options=tuple(cells.text(f"option_{letter}") for letter in "abcd"),
        answer=cells.place("answer", "label"),
        group=cells.maybe("subject"),
        facets=cells.facets(subject="subject", category="subject_category", culture="cultural_sensitivity_label"),
    )


def _indonli(cells: Cells) -> Question:
    relations = ("entailment", "neutral", "contradiction")
    places = {label: place for place, name in enumerate(relations) for label in (name, name[0], str(place))}
    premise, answer = cells.text("premise"), cells.one_of(places, "label")
    return Question(
        id=cells.maybe("pair_id") or str(cells.number),
        stem=f"{premise}\n\nApakah pernyataan ini benar, salah, atau tidak pasti menurut teks di atas?\n"
        f"{cells.text('hypothesis')}\n\n",
        options=RELATIONS,
        answer=answer,
        group=cells.maybe("premise_id") or xxhash.xxh3_64_hexdigest(premise.encode()),
        facets={"label": RELATIONS[answer]},
    )


def _mabl(cells: Cells) -> Question:
    endings = (cells.text("ending1"), cells.text("ending2"))
    return Question(
        id=str(cells.number),
        stem=f"Apa arti dari kalimat ini?\n\n{cells.text('startphrase')}\n",
        options=endings,
        answer=cells.place("labels"),
        group=" / ".join(endings),
    )


_COPA_COLUMNS = (("premise",), ("choice1",), ("choice2",), ("question",), ("label",))
SUITES: Mapping[str, Suite] = {
    "copal": Suite("COPAL-ID", _COPA_COLUMNS, _copa),
    "maps": Suite(
        "MAPS", (("proverb",), ("conversation",), ("answer1",), ("answer2",), ("answer_key",)), _maps, "proverb"
    ),
    "indocloze": Suite(
        "IndoCloze",
        (
            *((f"Kalimat-{number}", f"sentence-{number}") for number in range(1, 5)),
            ("Correct Ending", "correct_ending"),
            ("Incorrect Ending", "incorrect_ending"),
        ),
        _indocloze,
    ),
    "indoculture": Suite(
        "IndoCulture", (("province",), ("context",), ("options",), ("answer",)), _indoculture, "province and topic"
    ),
    "indommlu": Suite(
        "IndoMMLU",
        (("subject",), ("level",), ("soal", "question"), ("jawaban", "options"), ("kunci", "answer")),
        _indommlu,
        "subject and level",
    ),
    "indocareer": Suite(
        "IndoCareer",
        (("Subject",), ("Question",), ("Option A",), ("Option B",), ("Answer Key",)),
        _indocareer,
        "exam",
    ),
    "xcopa": Suite("XCOPA", _COPA_COLUMNS, _copa),
    "nusax": Suite("NusaX sentiment", (("text",), ("label",)), _nusax, headless=("text", "label")),
    "belebele": Suite(
        "Belebele",
        (
            ("flores_passage",),
            ("question",),
            *((f"mc_answer{number}",) for number in range(1, 5)),
            ("correct_answer_num",),
        ),
        _belebele,
        "passage",
    ),
    "global_mmlu": Suite(
        "Global-MMLU",
        (("question",), *((f"option_{letter}",) for letter in "abcd"), ("answer", "label")),
        _global_mmlu,
        "subject",
    ),
    "indonli": Suite("IndoNLI", (("premise",), ("hypothesis",), ("label",)), _indonli, "premise"),
    "mabl": Suite("MABL", (("startphrase",), ("ending1",), ("ending2",), ("labels",)), _mabl, "pair of endings"),
}
