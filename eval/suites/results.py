"""What a suite says of one system: accuracies with intervals, by facet, and every item's result for paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.metrics.groups import are_grouped, share_of_groups
from eval.metrics.scoring import rounded
from eval.metrics.statistics import Array, mean_statistics
from eval.suites.formats import SUITES
from eval.suites.questions import Question

TIE = 1e-6  # nats: scores no further apart are equal, and share the credit
SMALLEST_GROUP = 5  # items of a facet's value that get a line of their own


@dataclass(frozen=True)
class Reading:
    """A way to read scores as a choice: the highest of a scoring, or the highest per UTF-8 byte of the option."""

    scoring: str
    label: str
    per_byte: bool = False


READINGS: Mapping[str, Reading] = {
    "accuracy": Reading("likelihood", "Likelihood"),
    "accuracy_normalised": Reading("likelihood", "Likelihood per byte", per_byte=True),
    "letter": Reading("letter", "Letter"),
    "revealing": Reading("revealing", "Revealing"),
    "revealing_normalised": Reading("revealing", "Revealing per byte", per_byte=True),
}


def credit(scores: Sequence[float], options: Sequence[str], answer: int, per_byte: bool = False) -> float:
    """1 where the right option has the highest score, 0 where another has; 1/k where k share the highest, it among
    them.
    """
    values = (
        [value / len(option.encode()) for value, option in zip(scores, options, strict=True)] if per_byte else scores
    )
    best = max(values)
    equal = [place for place, value in enumerate(values) if best - value <= TIE]
    return 1.0 / len(equal) if answer in equal else 0.0


def summarise(
    kind: str, questions: Sequence[Question], scores: Sequence[Mapping[str, Sequence[float]]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a task's result.

    Args:
        scores: per question its options' scores by scoring. facts: of the run (damaged rows, examples ...), copied.
    """
    groups = [question.group for question in questions]
    right = {
        key: np.array(
            [
                credit(own[reading.scoring], question.options, question.answer, reading.per_byte)
                for question, own in zip(questions, scores, strict=True)
            ]
        )
        for key, reading in READINGS.items()
        if all(reading.scoring in own for own in scores)
    }
    grouped = are_grouped(groups)
    shares = {key: share_of_groups(mean_statistics(values), groups) for key, values in right.items()}
    first = next(iter(shares.values()))
    content = {
        "suite": kind,
        "n": len(questions),
        "chance": float(np.mean([1 / len(question.options) for question in questions])),
        **facts,
        "groups": {"by": SUITES[kind].groups, "count": first.groups} if grouped else None,
        **{key: asdict(one.interval) | {"design_effect": one.design_effect} for key, one in shares.items()},
        "tables": tables(questions, right),
        "items": {
            "id": [question.id for question in questions],
            "group": groups if grouped else None,
            "right": {key: values.tolist() for key, values in right.items()},
        },
    }
    return rounded(content)


def tables(questions: Sequence[Question], right: Mapping[str, Array]) -> dict[str, dict[str, dict[str, Any]]]:
    """{facet: {value: {reading: interval}}}, of values with SMALLEST_GROUP items or more, and of facets with two of
    them.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for facet in dict.fromkeys(facet for question in questions for facet in question.facets):
        rows: dict[str, list[int]] = {}
        for place, question in enumerate(questions):
            if facet in question.facets:
                rows.setdefault(question.facets[facet], []).append(place)
        kept = {value: places for value, places in sorted(rows.items()) if len(places) >= SMALLEST_GROUP}
        if len(kept) > 1:
            found[facet] = {value: _shares(questions, places, right) for value, places in kept.items()}
    return found


def _shares(questions: Sequence[Question], places: list[int], right: Mapping[str, Array]) -> dict[str, Any]:
    groups = [questions[place].group for place in places]
    return {
        key: asdict(share_of_groups(mean_statistics(values[places]), groups).interval) for key, values in right.items()
    }
