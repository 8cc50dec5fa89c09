"""The model card holds the very numbers of the metrics file, in the form that the hub reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.support.report import STANDARD, Planted, faithful, soup, write_planted_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    systems = (STANDARD[0], Planted("lora", faithful(0.6), 3.0), Planted("pissa", soup, 4.0))
    return write_planted_report(tmp_path_factory.mktemp("planted"), systems, count=20, points=30)


def test_results_in_the_front_matter_are_those_of_the_metrics_file(report: Path) -> None:
    card = ModelCard.load(report / "cards" / "lora" / "README.md")
    metrics = json.loads((report / "metrics" / "lora.json").read_text())["metrics"]
    results = {result.metric_type: result for result in card.data.eval_results or []}
    assert {"bound_per_token", "chrf", "bleu", "rougeL"} <= set(results)
    for key, result in results.items():
        assert result.metric_value == metrics[key]["value"]
        assert result.metric_args == {"low": metrics[key]["low"], "high": metrics[key]["high"], "n": 20}
    assert card.data.language == "id"
    assert card.data.library_name == "peft"


def test_the_card_names_lineage_leakage_settings_and_limits(report: Path) -> None:
    text = (report / "cards" / "lora" / "README.md").read_text()
    for needed in (
        "dataset · source: planted",
        "test · exact pair: 0",
        "rank: 16",
        "## Limits",
        "0123456789abcdef",
        "SHA-256",
    ):
        assert needed in text, needed
    assert "None" not in text.split("## Results")[1].split("## Data")[0]


def test_a_faulty_adapter_says_so_and_a_sound_one_has_no_such_section(report: Path) -> None:
    assert "## Known faults" not in (report / "cards" / "lora" / "README.md").read_text()
    assert "PiSSA has collapsed" in (report / "cards" / "pissa" / "README.md").read_text()


def test_the_base_has_no_card(report: Path) -> None:
    assert sorted(path.name for path in (report / "cards").iterdir()) == ["lora", "pissa"]
