"""The report from planted answers: the pages need nothing but themselves, and hold what was asked for."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eval.metrics.scoring import SCHEMA_VERSION
from tests.support.report import STANDARD, Planted, soup, write_planted_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted_report(tmp_path_factory.mktemp("planted"), count=60, points=300)


@pytest.fixture(scope="module")
def index(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


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
        given = dict(attributes)
        for name in ("src", "srcset", "href", "data", "poster", "action"):
            value = given.get(name)
            if value is None:
                continue
            if tag == "a":
                self.anchors.append(value)
            elif not value.startswith("data:"):
                self.loads.append(f"{tag} {name}={value}")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag == "img" and not given.get("alt"):
            self.faults.append("img without alt")
        if tag == "svg" and not (given.get("aria-label") or given.get("aria-hidden")):
            self.faults.append("svg without label")
        if tag not in ("meta", "link", "br", "img", "input", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()


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
    assert text.count("<script") == 4  # three blocks of data and our own script


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
