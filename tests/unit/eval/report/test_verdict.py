"""What the verdict says of planted answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.metrics.statistics import Comparison
from eval.report.load import read_systems
from eval.report.verdict import (
    TRAINED_ONCE,
    against_base,
    better,
    between_adapters,
    compare_all,
    details,
    sentence,
    verdict,
)
from tests.support.report import (
    EVALUATION,
    STANDARD,
    Planted,
    faithful,
    items,
    judged,
    soup,
    write_evaluation,
    write_planted_report,
)


def test_the_planted_best_adapter_wins_and_the_equal_two_cannot_be_told_apart(tmp_path: Path) -> None:
    told, comparisons = judged(tmp_path, *STANDARD)
    assert told.headline.startswith("PiSSA is the best adapter")
    assert (
        "PiSSA is better than LoRA and LoRA+ on the likelihood bound and chrF++; LoRA and LoRA+ cannot be told apart "
        "on the likelihood bound or chrF++."
    ) in told.sentences
    assert any("PiSSA is better than LoRA on chrF++ by" in text for text in details(comparisons))
    assert {flag.system for flag in told.flags} == {"base"}
    assert told.sentences[-1] == TRAINED_ONCE


def test_two_equal_adapters_have_no_winner(tmp_path: Path) -> None:
    told, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", faithful(0.6), 3.0), Planted("pissa", faithful(0.6), 3.0)
    )
    assert told.headline == "The two adapters cannot be told apart on this test set."


def test_opposite_leaders_are_both_named(tmp_path: Path) -> None:
    told, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", faithful(0.5), 2.0), Planted("pissa", faithful(0.8), 3.0)
    )
    assert told.headline.startswith("No single best adapter")


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (1.2, 0.006, "PiSSA is better than LoRA on chrF++ by 1.2 [0.4, 2.1], p = 0.006, n = 100."),
        (
            1.2,
            0.3,
            "PiSSA and LoRA cannot be told apart on chrF++: difference +1.2 [+0.4, +2.1], p = 0.30, n = 100; about 1.3 "
            "would be needed to show. The interval leaves out 0, but the randomisation test, which decides, does not "
            "confirm it.",
        ),
    ],
)
def test_a_comparison_reads_as_a_plain_sentence(difference: float, p: float, expected: str) -> None:
    comparison = Comparison("pissa", "lora", "chrf", difference, 0.4, 2.1, p, p, 0.3, 1.3, 100)
    assert sentence(comparison) == expected


def test_an_interval_without_zero_is_explained_where_the_correction_decides() -> None:
    comparison = Comparison("lora", "pissa", "chrf", 4.0, 1.4, 6.7, 0.0036, 0.0504, 0.3, 3.8, 100)
    text = sentence(comparison)
    assert "LoRA and PiSSA cannot be told apart" in text
    assert "p = 0.0504" in text, "p = 0.050 would read as a rejection at the 5% level"
    assert text.endswith("p is Holm-corrected over all comparisons (uncorrected 0.004).")
    around = Comparison("lora", "pissa", "chrf", 1.0, -1.4, 3.7, 0.3, 0.9, 0.1, 3.8, 100)
    assert "leaves out" not in sentence(around)


def test_adapters_below_the_score_of_the_prompt_are_told_so(tmp_path: Path) -> None:
    def with_floors(prompt: float, other: float) -> str:
        floors = {"other_answer": {"chrf": other}, "frequent_words": {"chrf": 0.5}, "prompt": {"chrf": prompt}}
        systems = [replace(system, metrics=system.metrics | {"floors": floors}) for system in planted]
        return " ".join(verdict(systems, compare_all(systems, EVALUATION, 7)).sentences)

    write_planted_report(tmp_path, STANDARD)
    planted = read_systems({one.name: tmp_path / "evaluation" / one.name for one in STANDARD}, {})
    values = {system.name: system.metrics["metrics"]["chrf"] for system in planted}
    between = (values["lora"]["high"] + values["pissa"]["low"]) / 2
    assert "every adapter stays below repeating the prompt (99.0) on chrF++." in with_floors(99.0, 1.0)
    assert "lie above another item's answer (1.0) and frequent-word soup (0.5);" in with_floors(99.0, 1.0)
    assert f"LoRA and LoRA+ stay below repeating the prompt ({between:.1f})" in with_floors(between, 1.0)
    inside = values["lora"]["value"]
    assert "the chrF++ interval of LoRA" in with_floors(inside, 1.0)
    assert "frequent-word soup (0.5) and repeating the prompt (2.0)." in with_floors(2.0, 1.0)


@pytest.mark.parametrize("methods", [1, 2, 3, 6])
def test_the_verdict_has_at_most_five_sentences_whatever_is_compared(tmp_path: Path, methods: int) -> None:
    names = ("lora", "loraplus", "pissa", "rslora", "dora", "loraplus_pissa")[:methods]
    adapters = [Planted(name, faithful(0.4 + 0.06 * place), 3 - 0.1 * place) for place, name in enumerate(names)]
    told, comparisons = judged(tmp_path, Planted("base", soup, 5.0), *adapters, count=30, keyed=True)
    sentences = (told.headline, *told.sentences)
    assert len(sentences) <= 5
    assert all(text.endswith(".") and ". " not in text for text in sentences)
    assert len(details(comparisons)) == 3 * methods * (methods - 1) // 2
    assert "accuracy" in " ".join(told.sentences)


def test_pairs_that_are_all_even_are_named_once() -> None:
    def even(first: str, second: str, metric: str) -> Comparison:
        return Comparison(first, second, metric, 0.1, -0.4, 0.6, 0.7, 1.0, 0.1, 0.7, 100)

    pairs = [("lora", "loraplus"), ("lora", "pissa"), ("loraplus", "pissa")]
    both = [even(*pair, metric) for metric in ("bound_per_token", "chrf") for pair in pairs]
    assert between_adapters(both) == "No two adapters can be told apart on the likelihood bound or chrF++."
    assert between_adapters(both[:1]) == "LoRA and LoRA+ cannot be told apart on the likelihood bound."
    sure = replace(both[3], difference=5.0, low=4.0, high=6.0, p=0.001, p_adjusted=0.001)
    assert between_adapters([*both[:3], sure, *both[4:]]) == (
        "LoRA is better than LoRA+ on chrF++; LoRA and LoRA+ cannot be told apart on the likelihood bound; LoRA and "
        "PiSSA, or LoRA+ and PiSSA cannot be told apart on the likelihood bound or chrF++."
    )


def test_against_the_base_every_metric_is_named_once(tmp_path: Path) -> None:
    three = (STANDARD[0], STANDARD[1], STANDARD[3])
    for planted in three:
        write_evaluation(tmp_path / planted.name, planted, items(12))
    systems = read_systems({planted.name: tmp_path / planted.name for planted in three}, {})
    values = {system.name: system.scores["chrf"]["value"] for system in systems}

    def base_and(name: str, metric: str, p: float) -> Comparison:
        worse = 1.0 if metric == "bound_per_token" else -1.0
        return Comparison("base", name, metric, worse, -2, 2, p, p, 0.1, 0.7, 100)

    def told(*p_values: float) -> str:
        ways = [(name, metric) for metric in ("bound_per_token", "chrf") for name in ("lora", "pissa")]
        return against_base(systems, [base_and(*way, p) for way, p in zip(ways, p_values, strict=True)])

    bound, chrf = "the likelihood bound (", f"chrF++ ({values['lora']:.1f} to {values['pissa']:.1f} against"
    assert told(0.001, 0.001, 0.001, 0.001).startswith(f"Every adapter is better than the base on {bound}")
    assert f" and {chrf} {values['base']:.1f})." in told(0.001, 0.001, 0.001, 0.001)
    assert told(1, 1, 1, 1).startswith(f"No adapter is shown to be better than the base on {bound}")
    assert f" or {chrf} {values['base']:.1f})." in told(1, 1, 1, 1)
    mixed = told(0.001, 0.001, 1, 0.001)
    assert mixed.startswith(f"Every adapter is better than the base on {bound}")
    assert mixed.endswith(f"; on chrF++ only PiSSA is shown to be better than the base ({values['base']:.1f}).")


def test_lower_is_better_for_the_bound() -> None:
    comparison = Comparison("pissa", "lora", "bound_per_token", -0.2, -0.3, -0.1, 0.001, 0.01, -0.5, 0.1, 100)
    assert better(comparison) == "pissa"
    assert "PiSSA is better than LoRA" in sentence(comparison)
    assert "by 0.200 [0.100, 0.300]" in sentence(comparison)
