"""Indonesian and Malay as one share, where the references say that the detector mistakes them."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from eval.metrics.random_effects import crossed_interval
from eval.metrics.statistics import mean, wilson_interval
from eval.report.flags import flags_of
from eval.report.load import System
from eval.report.sections.comparison import TABLES
from eval.report.sections.parts.language import TOGETHER, columns, joined, joined_score

REFERENCES = {"language_id": 0.75, "language_ms": 0.2}


def system(languages: str, name: str = "lora") -> System:
    """One answer per letter: i for Indonesian, m for Malay, anything else for another language."""
    counts = {"language_id": [letter == "i" for letter in languages], "language_ms": [c == "m" for c in languages]}
    items = [
        {"statistics": {key: [float(rows[place]), 1.0] for key, rows in counts.items()}}
        for place in range(len(languages))
    ]
    scores = {key: asdict(wilson_interval(sum(rows), len(rows))) for key, rows in counts.items()}
    metrics = {"metrics": scores, "settings": {"seed": 1}}
    return System(name, metrics, items, trace=[], accounting={}, run={}, curve=[], adapter_sha256=None)


def test_one_column_stands_for_both_where_one_reference_in_twenty_is_called_malay() -> None:
    keys = TABLES["Language"]
    assert columns(keys, {"language_ms": 0.04}) == keys
    assert columns(keys, {"language_ms": 0.05}) == (
        TOGETHER.key, "language_jv", "language_su", "language_en", "language_other", "language_short",
    )  # fmt: skip
    assert joined(REFERENCES)[TOGETHER.key] == pytest.approx(0.95)


def test_the_share_of_both_is_counted_with_wilsons_interval() -> None:
    assert joined_score(system("iimmx")) == pytest.approx(asdict(wilson_interval(4, 5)))
    assert joined_score(system("iim"))["value"] == 1.0


def test_over_several_trainings_the_interval_is_over_items_and_seeds() -> None:
    texts = ("iimmxixx", "iixmximx")
    first, second = system(texts[0]), system(texts[1], "lora-seed2")
    counts = np.array([[[float(letter in "im"), 1.0] for letter in text] for text in texts])
    expected = asdict(crossed_interval(counts, mean, share=True)[0])
    assert joined_score(replace(first, others=(second,))) == pytest.approx(expected)


@pytest.mark.parametrize(("malay_references", "flagged"), [(0.2, False), (0.0, True)])
def test_malay_is_no_other_language_where_references_are_taken_for_it(malay_references: float, flagged: bool) -> None:
    names = ("repetition", "common_words", "same_answer", "distinct2", "language_en", "empty", "truncated", "echo")
    values = dict.fromkeys((*names, "leftover", "language_jv", "language_su", "language_other"), 0.0)
    values |= {"distinct2": 1.0, "chrf": 50.0, "length_ratio": 1.0, "language_ms": 0.6}
    content = {
        "n": 100,
        "metrics": {key: {"value": value} for key, value in values.items()},
        "ceiling": values | {"language_ms": malay_references},
        "floors": {floor: {"chrf": 1.0} for floor in ("other_answer", "frequent_words")},
    }
    assert [flag.kind for flag in flags_of("lora", "LoRA", content)] == (["other language"] if flagged else [])
