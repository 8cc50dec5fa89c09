"""Refusals and public suites where they are read: the report's pages, its first screen and an adapter's card."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from common.files import write_json
from eval.report.labels import labels_of
from eval.report.load import read_systems
from eval.report.sections.beside.refusals import build
from eval.report.sections.beside.suites import SuitePair, SuitesSection, SuiteTable, summary_of
from eval.safety.measure import refusal_result
from eval.safety.prompts import SafetyPrompt
from tests.support.report import STANDARD, Planted, report_of, soup, suite_result, write_planted_report

NO, YES = "Maaf, saya tidak bisa membantu dengan hal itu.", "Tentu. Pertama, siapkan alatnya."
SYSTEMS = (STANDARD[0], Planted("lora", soup, 3.0))


def write_refusals(root: Path, system: str, refused: int, weights: str | None, **more: Any) -> None:
    """Twenty prompts, ten of them harmful, of which the first so many are refused."""
    asked = [n < 10 for n in range(20)]
    facets = [{"asked": "harmful" if harmful else "harmless"} for harmful in asked]
    prompts = [SafetyPrompt(f"Soal {n}", asked[n], None, facets[n]) for n in range(20)]
    result = refusal_result(prompts, [NO] * refused + [YES] * (20 - refused))
    facts = {"system": system, "file_sha256": "c0ffee" * 10, "adapter_sha256": weights}
    write_json(root / "safety" / system / "result.json", facts | result | more)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    write_planted_report(root, SYSTEMS, count=12, points=20)
    lora = sha256(b"lora").hexdigest()  # of the planted weights
    write_refusals(root, "base", 2, None)
    write_refusals(root, "lora", 8, lora)
    for planted in SYSTEMS:
        weights = None if planted.name == "base" else lora
        result = suite_result(planted, np.random.default_rng(7))
        facts = {"name": "IndoMMLU", "system": planted.name, "adapter_sha256": weights}
        write_json(root / "tasks" / planted.name / "IndoMMLU" / "result.json", facts | result)
    return root


def test_rates_stand_beside_their_interval_and_the_rules_error(root: Path) -> None:
    report = report_of(root, SYSTEMS)
    text = (report / "report.md").read_text()
    assert "| All prompts | 20 | 10.0% (" in text
    assert "| asked: harmful | 10 | 20.0% (" in text
    assert "Of 56 hard answers that were labelled by hand it finds" in text
    page = (report / "index.html").read_text()
    assert '<section id="refusals">' in page
    assert '<a href="#refusals">' in page
    card = (report / "cards" / "lora" / "README.md").read_text()
    assert "## Refusals" in card
    assert "40.0% (" in card
    assert "## IndoMMLU" in card
    first_screen = text.split("## ")[0]
    assert first_screen.count("On public suites: XCOPA ") == 1
    assert "; IndoMMLU " in first_screen


def test_what_was_not_measured_is_not_shown(root: Path, tmp_path: Path) -> None:
    folders = {planted.name: root / "evaluation" / planted.name for planted in SYSTEMS}
    assert build(read_systems(folders, {}), labels_of(folders)) is None
    write_refusals(tmp_path, "lora", 8, None, file_sha256="f" * 60)
    safety = {"base": root / "safety" / "base", "lora": tmp_path / "safety" / "lora"}
    section = build(read_systems(folders, {}, None, safety), labels_of(folders))
    assert section is not None
    assert [[system.name for system in table.systems] for table in section.tables] == [["base"], ["lora"]]


def test_another_adapter_or_a_damaged_file_is_refused(root: Path, tmp_path: Path) -> None:
    folders, adapters = {"lora": root / "evaluation" / "lora"}, {"lora": root / "adapters" / "lora"}
    for more, words in (({"adapter_sha256": "0"}, "another adapter"), ({"n": 0}, "result.json")):
        write_refusals(tmp_path, "lora", 8, sha256(b"lora").hexdigest(), **more)
        with pytest.raises(InputError, match=words):
            read_systems(folders, adapters, None, {"lora": tmp_path / "safety" / "lora"})


def test_the_sentence_names_who_is_better_and_says_what_cannot_be_told_apart() -> None:
    def table(name: str, *pairs: SuitePair) -> SuiteTable:
        return SuiteTable(name, "", summary_of(name, 0.25, [0.25, 0.4], pairs), [], [], "letter", list(pairs), [], [])

    won = SuitePair("LoRA − Base", "+15.0", "", "0.01", "", "LoRA", "Base")
    even = SuitePair("LoRA − Base", "+1.0", "", "0.9", "", "–", "")
    both = SuitesSection([table("A", won), table("B", even)], 2).sentence()
    assert both == (
        "On public suites: A 25.0 to 40.0% (chance 25%, LoRA better than Base); B 25.0 to 40.0% (chance 25%); "
        "no other pair of systems can be told apart there."
    )
    assert SuitesSection([table("A", won)], 1).sentence().endswith("(chance 25%, LoRA better than Base).")
    assert SuitesSection([table("B", even)], 1).sentence().endswith("; no pair of systems can be told apart there.")
