"""Diffusion or autoregression, from planted pairs: who is better is said with its test, and never of a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.files import write_json
from eval.metrics.definitions import ACCURACY
from eval.report.load import System, read_systems
from eval.report.paradigms import compare_paradigms, paradigm_verdict
from eval.report.sections import paradigms
from tests.support.report import (
    EVALUATION,
    STANDARD,
    Planted,
    faithful,
    items,
    report_of,
    soup,
    sweep_facts,
    write_adapter,
    write_data,
    write_evaluation,
)

SPENT = {
    "batch_size": 16,
    "alone": {"items": 8, "seconds": 4.0, "forward_passes": 160, "tokens_per_second": 40.0},
}
DIFFUSION = STANDARD[:2]  # base and lora


def twins(share: float, bound: float, base_bound: float = 5.0) -> list[Planted]:
    exact = {"exact_likelihood": True, "noise_levels": [], "tasks": {}, "eos_overflow": []}
    return [
        Planted("ar-base", soup, base_bound, stopped=0.1, extra=exact, spent=SPENT),
        Planted("ar-lora", faithful(share), bound, extra=exact, spent=SPENT),
    ]


def read(root: Path, planted: list[Planted]) -> tuple[list[System], list[System]]:
    for one in (*DIFFUSION, *planted):
        write_evaluation(root / one.name, one, items(60), keyed=True)
    return (
        read_systems({one.name: root / one.name for one in DIFFUSION}, {}),
        read_systems({one.name: root / one.name for one in planted}, {}),
    )


def verdict_of(root: Path, planted: list[Planted]) -> tuple[str, str]:
    systems, others = read(root, planted)
    found = paradigm_verdict(others, compare_paradigms(systems, others, EVALUATION, 7))
    return found.headline, " ".join(found.sentences)


def test_a_better_twin_is_called_better_and_a_worse_one_worse(tmp_path: Path) -> None:
    headline, sentences = verdict_of(tmp_path / "better", twins(0.95, 2.0))
    assert headline.startswith("Autoregression is better: LoRA on chrF++")
    assert "Autoregressive LoRA is better than LoRA on chrF++ by" in sentences
    headline, _ = verdict_of(tmp_path / "worse", twins(0.1, 2.0))
    assert headline.startswith("Diffusion is better: LoRA on chrF++")


def test_equals_cannot_be_told_apart(tmp_path: Path) -> None:
    headline, sentences = verdict_of(tmp_path, twins(0.55, 3.1))
    assert headline == "Diffusion and autoregression cannot be told apart on chrF++ or accuracy."
    assert "trained once" in sentences


def test_a_bound_decides_only_where_it_is_below_the_exact_value(tmp_path: Path) -> None:
    _, below = verdict_of(tmp_path / "below", twins(0.55, 4.5))
    assert "LoRA gives the references more probability than Autoregressive LoRA" in below
    _, above = verdict_of(tmp_path / "above", twins(0.55, 1.0))
    assert "is left open" in above
    assert "more probability than" not in above


def test_pairs_are_a_family_of_their_own_and_hold_no_other_pair(tmp_path: Path) -> None:
    systems, others = read(tmp_path, twins(0.7, 2.0))
    found = compare_paradigms(systems, others, EVALUATION, 7)
    assert {(one.first, one.second) for one in found} == {("base", "ar-base"), ("lora", "ar-lora")}
    assert {one.metric for one in found} == {"bits_per_byte", "chrf", "rouge1", "rougeL", "bleu", ACCURACY}
    assert all(one.p_adjusted >= one.p for one in found)
    section = paradigms.build(systems, others, found)
    assert section is not None
    assert [(row.title, row.likelihood) for row in section.rows[:4]] == [
        ("Base", "upper bound"),
        ("Autoregressive base", "exact"),
        ("LoRA", "upper bound"),
        ("Autoregressive LoRA", "exact"),
    ]
    assert section.rows[4].likelihood == "–"  # the floors
    cost = section.costs[1]
    assert (cost.seconds, cost.passes, cost.alone) == ("0.500", "20.0", "40.0")
    assert paradigms.build(systems, [], []) is None


@pytest.mark.parametrize("both", [True, False])
def test_the_report_shows_the_section_only_where_both_were_run(tmp_path: Path, both: bool) -> None:
    planted = twins(0.95, 2.0) if both else []
    for one in (*DIFFUSION, *planted):
        write_evaluation(tmp_path / "evaluation" / one.name, one, items(60), keyed=True)
    write_adapter(tmp_path / "adapters" / "lora", DIFFUSION[1])
    write_data(tmp_path, 100)
    write_json(tmp_path / "sweep" / "sweep.json", sweep_facts())
    report = report_of(tmp_path, DIFFUSION, twins=planted)
    page, text = (report / "index.html").read_text(), (report / "report.md").read_text()
    assert ('id="paradigms"' in page) is both
    assert ("## Diffusion or autoregression?" in text) is both
    ranking = text.split("## Diffusion or autoregression?")[0]
    assert "Autoregressive" not in ranking  # never in the ranking of the others
    assert ((report / "metrics" / "ar-lora.json").is_file()) is both
