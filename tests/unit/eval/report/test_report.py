"""The report from planted answers: what the verdict says of them, and that the page needs nothing but itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import write_json
from eval.metrics.scoring import SCHEMA_VERSION
from eval.metrics.statistics import Comparison
from eval.report import charts
from eval.report.load import read_systems
from eval.report.page import flatten, funnel, map_data, shorten
from eval.report.verdict import TRAINED_ONCE, better, compare_all, sentence, verdict
from tests.support.report import (
    EVALUATION,
    STANDARD,
    Planted,
    english,
    faithful,
    items,
    soup,
    write_evaluation,
    write_planted_report,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted_report(tmp_path_factory.mktemp("planted"), count=60, points=300)


@pytest.fixture(scope="module")
def index(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


def judged(root: Path, *systems: Planted, count: int = 60):
    rows = items(count)
    for planted in systems:
        write_evaluation(root / planted.name, planted, rows)
    read = read_systems({planted.name: root / planted.name for planted in systems}, {})
    comparisons = compare_all(read, EVALUATION, 7)
    return verdict(read, comparisons), comparisons


class Outline(HTMLParser):
    """Tags, attributes that load something, ids and references to ids."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        for name in ("src", "srcset", "href", "data", "poster", "action"):
            value = found.get(name)
            if value is None:
                continue
            if tag == "a":
                self.anchors.append(value)
            elif not value.startswith("data:"):
                self.loads.append(f"{tag} {name}={value}")
        if found.get("id"):
            self.ids.append(found["id"] or "")
        if tag == "img" and not found.get("alt"):
            self.faults.append("img without alt")
        if tag == "svg" and not (found.get("aria-label") or found.get("aria-hidden")):
            self.faults.append("svg without label")
        if tag not in ("meta", "link", "br", "img", "input", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()


def test_the_planted_best_adapter_wins_and_the_equal_two_cannot_be_told_apart(tmp_path: Path) -> None:
    found, _ = judged(tmp_path, *STANDARD)
    assert found.headline.startswith("PiSSA is the best adapter")
    assert any(text.startswith("LoRA and LoRA+ cannot be told apart") for text in found.sentences)
    assert any("PiSSA is better than LoRA on chrF++ by" in text for text in found.sentences)
    assert {flag.system for flag in found.flags} == {"base"}
    assert found.sentences[-1] == TRAINED_ONCE


def test_a_collapsed_adapter_is_flagged_even_where_it_wins_rouge1(tmp_path: Path) -> None:
    def bag(item, rng):  # the reference's commonest words in a circle: unigram overlap without a sentence
        return "di " * 3 + "kota tahun pada warga " * 3 + " ".join(item.reference.split()[:3]) + " di kota" * 4

    weak = faithful(0.12)
    found, comparisons = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", bag, 2.0), Planted("pissa", weak, 3.0)
    )
    assert any(flag.system == "lora" and flag.kind == "collapsed" and flag.severe for flag in found.flags)
    assert any(
        better(one) == "lora" for one in comparisons if one.metric == "rouge1" and "pissa" in (one.first, one.second)
    )
    assert "LoRA is the best" not in found.headline


def test_an_english_writing_adapter_is_flagged_and_never_the_best(tmp_path: Path) -> None:
    found, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", english, 1.0), Planted("pissa", faithful(0.6), 3.0)
    )
    assert any(flag.system == "lora" and flag.kind == "English" for flag in found.flags)
    assert found.headline == "PiSSA is the only adapter that is not flagged below."


def test_two_equal_adapters_have_no_winner(tmp_path: Path) -> None:
    found, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", faithful(0.6), 3.0), Planted("pissa", faithful(0.6), 3.0)
    )
    assert found.headline == "The two adapters cannot be told apart on this test set."


def test_no_adapter_is_praised_when_all_are_flagged(tmp_path: Path) -> None:
    found, _ = judged(tmp_path, Planted("base", soup, 5.0), Planted("lora", soup, 3.0), Planted("pissa", english, 3.0))
    assert found.headline.startswith("No adapter can be recommended")


def test_opposite_leaders_are_both_named(tmp_path: Path) -> None:
    found, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", faithful(0.5), 2.0), Planted("pissa", faithful(0.8), 3.0)
    )
    assert found.headline.startswith("No single best adapter")


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
    assert sentence(comparison, {"pissa": "PiSSA", "lora": "LoRA"}) == expected


def test_an_interval_without_zero_is_explained_where_the_correction_decides() -> None:
    comparison = Comparison("lora", "pissa", "chrf", 4.0, 1.4, 6.7, 0.0036, 0.0504, 0.3, 3.8, 100)
    text = sentence(comparison, {"pissa": "PiSSA", "lora": "LoRA"})
    assert "LoRA and PiSSA cannot be told apart" in text
    assert "p = 0.0504" in text, "p = 0.050 would read as a rejection at the 5% level"
    assert text.endswith("p is Holm-corrected over all comparisons (uncorrected 0.004).")
    around = Comparison("lora", "pissa", "chrf", 1.0, -1.4, 3.7, 0.3, 0.9, 0.1, 3.8, 100)
    assert "leaves out" not in sentence(around, {"pissa": "PiSSA", "lora": "LoRA"})


def test_adapters_below_the_score_of_the_prompt_are_told_so(tmp_path: Path) -> None:
    def with_floors(prompt: float, other: float) -> str:
        floors = {"other_answer": {"chrf": other}, "frequent_words": {"chrf": 0.5}, "prompt": {"chrf": prompt}}
        systems = [replace(system, metrics=system.metrics | {"floors": floors}) for system in planted]
        return " ".join(verdict(systems, compare_all(systems, EVALUATION, 7)).sentences)

    write_planted_report(tmp_path, STANDARD)
    planted = read_systems({one.name: tmp_path / "evaluation" / one.name for one in STANDARD}, {})
    values = {system.name: system.metrics["metrics"]["chrf"] for system in planted}
    between = (values["lora"]["high"] + values["pissa"]["low"]) / 2
    assert "Every adapter stays below repeating the prompt (99.0) on chrF++." in with_floors(99.0, 1.0)
    assert "lie above another item's answer (1.0) and frequent-word soup (0.5)." in with_floors(99.0, 1.0)
    assert f"LoRA and LoRA+ stay below repeating the prompt ({between:.1f})" in with_floors(between, 1.0)
    inside = values["lora"]["value"]
    assert "The chrF++ interval of LoRA" in with_floors(inside, 1.0)
    assert "frequent-word soup (0.5) and repeating the prompt (2.0)." in with_floors(2.0, 1.0)


def test_lower_is_better_for_the_bound() -> None:
    comparison = Comparison("pissa", "lora", "bound_per_token", -0.2, -0.3, -0.1, 0.001, 0.01, -0.5, 0.1, 100)
    assert better(comparison) == "pissa"
    assert "PiSSA is better than LoRA" in sentence(comparison, {"pissa": "PiSSA", "lora": "LoRA"})
    assert "by 0.200 [0.100, 0.300]" in sentence(comparison, {"pissa": "PiSSA", "lora": "LoRA"})


def test_the_page_loads_nothing(report: Path) -> None:
    for path in report.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        outline = Outline()
        outline.feed(text)
        assert outline.loads == [], path.name
        assert outline.faults == [], path.name
        assert outline.open == [], path.name
        assert len(outline.ids) == len(set(outline.ids)), path.name
        for anchor in outline.anchors:
            assert anchor[1:] in outline.ids if anchor.startswith("#") else (report / anchor).is_file(), anchor
        style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
        assert "url(" not in style
        assert "@import" not in style
        assert len(text) < 8 * 2**20


def test_everything_asked_for_is_on_the_page(index: str) -> None:
    for needed in (
        "Another item&#39;s answer",
        "Frequent-word soup",
        "95% bootstrap",
        "0123456789abcdef",
        "dvc exp run",
    ):
        assert needed in index, needed
    assert index.count('class="answer"') == 60


def test_answers_cannot_inject_markup(tmp_path: Path) -> None:
    def hostile(item, rng):
        return "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

    root = write_planted_report(
        tmp_path, (Planted("base", soup, 5.0), Planted("lora", hostile, 3.0)), count=8, points=30
    )
    text = (root / "index.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in text
    assert "<img src=x" not in text
    assert text.count("<script") == 3  # two blocks of data and our own script


def test_metrics_are_copied_per_system(report: Path) -> None:
    for planted in STANDARD:
        content = json.loads((report / "metrics" / f"{planted.name}.json").read_text())
        assert content["system"] == planted.name
        assert content["schema_version"] == SCHEMA_VERSION
        assert (report / f"{planted.name}.html").is_file() == (planted.name != "base")


def test_markdown_has_the_verdict_and_whole_tables(report: Path) -> None:
    text = (report / "report.md").read_text()
    assert "**PiSSA is the best adapter" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = block.strip().splitlines()
        assert len(lines) >= 3
        assert len({line.count("|") for line in lines}) == 1


def test_the_same_evaluations_give_the_same_page(tmp_path: Path) -> None:
    first = write_planted_report(tmp_path / "a", STANDARD[:2], count=8, points=30)
    second = write_planted_report(tmp_path / "b", STANDARD[:2], count=8, points=30)
    assert (first / "index.html").read_bytes() == (second / "index.html").read_bytes()


def test_only_the_base_still_gives_a_report(tmp_path: Path) -> None:
    root = write_planted_report(tmp_path, STANDARD[:1], count=8, points=30)
    assert "Only the base was evaluated." in (root / "index.html").read_text()


def test_other_items_or_an_old_schema_are_refused(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "base", STANDARD[0], items(8))
    write_evaluation(tmp_path / "lora", STANDARD[1], items(9)[1:])
    folders = {"base": tmp_path / "base", "lora": tmp_path / "lora"}
    with pytest.raises(InputError, match="other test items"):
        read_systems(folders, {})
    content = json.loads((tmp_path / "lora" / "metrics.json").read_text())
    write_json(tmp_path / "lora" / "metrics.json", content | {"schema_version": 0})
    with pytest.raises(InputError, match="schema_version"):
        read_systems(folders, {})
    with pytest.raises(InputError, match="evaluate --method pissa"):
        read_systems({"pissa": tmp_path / "pissa"}, {})


def test_axis_ticks_are_round_and_cover_the_values() -> None:
    for low, high in ((0.0, 1.0), (2.3, 2.31), (-4.0, 97.0), (5.0, 5.0), (0.0, 0.0)):
        start, end, ticks = charts._axis(low, high, 4)
        assert start <= low + 1e-12
        assert end >= high - 1e-12
        assert 2 <= len(ticks) <= 8
        steps = [b - a for a, b in pairwise(ticks)]
        assert max(steps) == pytest.approx(min(steps))


def test_charts_label_both_axes_and_speak() -> None:
    series = [charts.Series("LoRA", "s1", [1, 2, 3], [3.0, 2.0, 1.5], [2.9, 1.9, 1.4], [3.1, 2.1, 1.6])]
    svg = charts.line_chart("Loss", "", series, "step", "nats")
    assert ">step</text>" in svg
    assert ">nats</text>" in svg
    assert "LoRA from 3 to 1.5" in svg
    assert charts.line_chart("Loss", "", [], "step", "nats") == ""


def test_facts_become_lines() -> None:
    lines = dict(flatten({"a": {"b_c": 12345, "d": None}, "e": list(range(20)), "f": [1, 2], "g": 0.123456, "h": True}))
    assert lines == {"a · b c": "12,345", "a · d": "none", "e": "20 entries", "f": "1, 2", "g": "0.1235", "h": "yes"}


def test_unknown_funnel_shapes_are_left_out() -> None:
    assert funnel({"something": 1})["bars"] == []


def test_map_keeps_at_most_the_maximum_of_points() -> None:
    points = [{"x": i, "y": -i, "cluster": i % 3, "subset_name": "a", "text": "kata " * 100} for i in range(6000)]
    data = map_data(points)
    assert data["shown"] <= 2500
    assert data["all"] == 6000
    assert all(0 <= x <= 1000 and 0 <= y <= 1000 for x, y, *_ in data["points"])
    assert len(shorten("kata " * 100)) <= 140


def test_a_line_chart_stays_inside_its_panel():
    rates = charts.Series("LoRA", "s1", [0, 50, 1000], [0.0, 3e-3, 1e-9])
    svg = charts.line_chart("Learning rate", "", [rates], "step", "rate")
    heights = [float(point.split(",")[1]) for point in svg.partition('points="')[2].partition('"')[0].split()]
    assert len(heights) == 3
    assert all(40 <= height <= 190 for height in heights)


@pytest.mark.parametrize(("rate", "text"), [(3e-3, "3e-3"), (7.5e-4, "7.5e-4"), (1.5e-3, "1.5e-3"), (0.0, "0e0")])
def test_a_learning_rate_keeps_its_digits(rate, text):
    assert charts.rate_text(rate) == text
