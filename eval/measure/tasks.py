"""Multiple choice by likelihood, on local files in the form of public Indonesian test sets.

Each choice is scored as the answer to the same chat prompt. Accuracy takes the largest log-likelihood bound, normalised
accuracy the largest one per UTF-8 byte of the choice, because a longer choice is less likely for its length alone.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from eval.config import TaskConfig, TaskKind
from eval.metrics.statistics import wilson_interval

Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A prompt, its choices, and the index of the right one."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


def read_task(task: TaskConfig) -> list[Question]:
    """Read a task's file.

    Raises:
        InputError: the file is missing, unreadable, or a row lacks what the kind needs.
    """
    path = Path(task.file)
    if not path.is_file():
        raise InputError(f"evaluation.tasks: {task.name}: {path}: no such file")
    try:
        rows = _read_rows(path)
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"evaluation.tasks: {task.name}: {path}: not a CSV or JSON-lines file ({error})") from None
    parse = _PARSERS[task.kind]
    questions = []
    for number, row in enumerate(rows[: task.limit], start=1):
        try:
            questions.append(parse(row))
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise InputError(
                f"evaluation.tasks: {task.name}: {path}: row {number} is not of the kind {task.kind}: "
                f"{_reason(error, row)}"
            ) from None
    if not questions:
        raise InputError(f"evaluation.tasks: {task.name}: {path}: no rows")
    return questions


def score_choices(questions: Sequence[Question], bounds: Sequence[float]) -> dict[str, Any]:
    """Accuracy from the log-likelihood bounds of all choices of all questions, in order."""
    if len(bounds) != sum(len(question.choices) for question in questions):
        raise ValueError(f"{len(bounds)} bounds for {sum(len(q.choices) for q in questions)} choices")
    right = right_normalised = start = 0
    for question in questions:
        scores = list(bounds[start : start + len(question.choices)])
        start += len(question.choices)
        per_byte = [value / len(text.encode()) for value, text in zip(scores, question.choices, strict=True)]
        right += _best(scores) == question.answer
        right_normalised += _best(per_byte) == question.answer
    chance = sum(1 / len(question.choices) for question in questions) / len(questions)
    return {
        "n": len(questions),
        "chance": chance,
        "accuracy": asdict(wilson_interval(right, len(questions))),
        "accuracy_normalised": asdict(wilson_interval(right_normalised, len(questions))),
    }


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda index: scores[index])


def _reason(error: Exception, row: Any) -> str:
    if isinstance(error, KeyError) and isinstance(row, dict):
        return f"no {error} among {', '.join(map(str, row)) or 'its columns'}"
    return str(error)


def _read_rows(path: Path) -> list[Row]:
    """JSON lines or CSV, in UTF-8 or in UTF-16 with its mark; CSV with commas, semicolons or tabs."""
    content = path.read_bytes()
    text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    header = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def _xcopa(row: Row) -> Question:
    asked = {"cause": "Apa penyebabnya?", "effect": "Apa akibatnya?"}[row["question"]]
    choices = (_text(row["choice1"]), _text(row["choice2"]))
    return Question(f"{_text(row['premise'])} {asked}", choices, _index(int(row["label"]), choices))


def _indocloze(row: Row) -> Question:
    story = " ".join(_text(row[f"Kalimat-{number}"]) for number in range(1, 5))
    # the right ending stands first: with likelihood there is no position to be biased by
    choices = (_text(row["Correct Ending"]), _text(row["Incorrect Ending"]))
    return Question(f"Lanjutkan cerita ini dengan satu kalimat.\n{story}", choices, 0)


def _nusax(row: Row) -> Question:
    labels = {"positive": "positif", "neutral": "netral", "negative": "negatif"}
    choices = tuple(labels.values())
    return Question(
        f"Apa sentimen kalimat ini: positif, netral, atau negatif?\n{_text(row['text'])}",
        choices,
        list(labels).index(row["label"]),
    )


def _mmlu(row: Row) -> Question:
    """Global-MMLU's flat rows (question, option_a ..., answer), or the same nested under `prompts` with a `label`."""
    inner = row["prompts"][0] if "prompts" in row else row
    choices = tuple(_text(inner[f"option_{letter}"]) for letter in "abcd")
    letter = row["label"] if "prompts" in row else row["answer"]
    return Question(_text(inner["question"]), choices, _index("ABCD".index(letter), choices))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} where a text is needed")
    return value.strip()


def _index(value: int, choices: Sequence[str]) -> int:
    if not 0 <= value < len(choices):
        raise ValueError(f"label {value} with {len(choices)} choices")
    return value


_PARSERS: dict[TaskKind, Callable[[Row], Question]] = {
    "xcopa": _xcopa,
    "indocloze": _indocloze,
    "nusax": _nusax,
    "mmlu": _mmlu,
}
