"""Section "Answers side by side": every item with what each system wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.labels import Labels, SystemLabel
from eval.report.load import System

MAXIMUM_ANSWERS = 200  # items side by side; the others are in items.jsonl


@dataclass(frozen=True)
class SystemAnswer:
    """stopped: whether it ended before the token budget did. right: None where no one answer is."""

    system: SystemLabel
    text: str
    chrf: float
    stopped: bool
    right: bool | None


@dataclass(frozen=True)
class AnsweredItem:
    """spread, best, worst: of the answers' chrF++, for the order on the page."""

    number: int
    subset: str
    cluster: int
    prompt: str
    reference: str
    answers: list[SystemAnswer]
    spread: float
    best: float
    worst: float


@dataclass(frozen=True)
class AnswersSection:
    """left_out: how many items are not shown."""

    items: list[AnsweredItem]
    left_out: int
    subsets: list[str]


def build(systems: Sequence[System], labels: Labels) -> AnswersSection:
    first = systems[0]
    return AnswersSection(
        items=[answered_item(index, systems, labels) for index in range(len(first.items[:MAXIMUM_ANSWERS]))],
        left_out=max(0, len(first.items) - MAXIMUM_ANSWERS),
        subsets=sorted({item["subset_name"] for item in first.items}),
    )


def answered_item(index: int, systems: Sequence[System], labels: Labels) -> AnsweredItem:
    written = [(labels[system.name], system.items[index]) for system in systems]
    answers = [_answer(label, row) for label, row in written]
    item, chrf = systems[0].items[index], [answer.chrf for answer in answers]
    return AnsweredItem(
        number=index + 1,
        subset=item["subset_name"],
        cluster=item["cluster"],
        prompt=item["prompt"],
        reference=item["reference"],
        answers=answers,
        spread=round(max(chrf) - min(chrf), 2),
        best=round(max(chrf), 2),
        worst=round(min(chrf), 2),
    )


def _answer(label: SystemLabel, row: dict[str, Any]) -> SystemAnswer:
    return SystemAnswer(label, row["answer"], row["scores"]["chrf"], row["stopped"], row.get("right"))
