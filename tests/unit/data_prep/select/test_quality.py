"""The quality gate: each rule on sentences written for this test, and the counts against plain Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.config import DataConfig
from data_prep.select.quality import is_boilerplate, is_damaged
from data_prep.select.selection import select
from tests.support.cendol_rows import row, write_rows

INDONESIAN = "Ibu kota Indonesia adalah Jakarta, tetapi pemerintahan akan pindah ke Nusantara."
ENGLISH = "The capital of Indonesia is Jakarta, but the government will move to Nusantara."
SUNDANESE = "Kuring rek indit ka pasar meuli sayuran jeung bungbuahan pikeun ema, tapi geus isuk pisan."
MOJIBAKE = "Kafé itu terkenal di seluruh kota, dan para pengunjungnya menyukai kue crème brûlée."
REFRAIN = "\n".join(["Kota itu tidak bisa tidur"] * 3 + ["Karena hujan belum berhenti"])


def decoded_as(text: str, encoding: str) -> str:
    """UTF-8 read in another encoding: how mojibake comes about."""
    return text.encode("utf-8").decode(encoding)


@pytest.mark.parametrize(
    "text", [decoded_as(MOJIBAKE, "latin-1"), decoded_as(MOJIBAKE, "cp1252"), "Jakarta\ufffd", "kata\x92nya"]
)
def test_damage_is_found(text: str) -> None:
    assert is_damaged(text)


@pytest.mark.parametrize(
    "text", [MOJIBAKE, "Suhu 30 °C ± 2", "“Ya”, katanya – pelan…", "جلباب dan 北京 dan 😀", "Ãpa?"]
)
def test_accents_signs_and_other_scripts_are_no_damage(text: str) -> None:
    assert not is_damaged(text)


@pytest.mark.parametrize(
    "answer",
    [
        "Baca juga: 10 tempat wisata di Bandung",
        "Kota ini besar.\nPranala luar\nReferensi",
        "Artikel bertopik geografi ini adalah sebuah rintisan.",
        REFRAIN,
    ],
)
def test_page_furniture_and_repetition_are_boilerplate(answer: str) -> None:
    assert is_boilerplate(answer)


@pytest.mark.parametrize(
    "answer",
    [
        INDONESIAN,
        "Referensi yang baik memuat nama penulis, judul dan tahun terbit.",
        "satu\n---\ndua\n---\ntiga\n---\nempat",
        "Kota ini besar.\nDi sana ada pasar.\nAda pula taman.\nReferensi",
        "",
    ],
)
def test_content_is_no_boilerplate(answer: str) -> None:
    assert not is_boilerplate(answer)


def run(folder: Path, quality: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answers = [INDONESIAN, ENGLISH, SUNDANESE, decoded_as(MOJIBAKE, "latin-1"), REFRAIN]
    rows = [row("dolly", "dolly_open_qa", f"Pertanyaan nomor {number}", text) for number, text in enumerate(answers)]
    rows += [row("wikihow", "wikihow", "Bagaimana caranya pergi ke sana?", text) for text in ("Naik bus", ENGLISH)]
    source = write_rows(folder / "rows.parquet", rows)
    candidates, facts = folder / "candidates.parquet", folder / "select.json"
    data = DataConfig.model_validate({"sample_fraction": 1.0, "quality": quality})
    select(data, files=[source], seed=1, candidates=candidates, facts=facts)
    return pq.read_table(candidates).to_pylist(), json.loads(facts.read_text())


def test_the_gate_is_off_by_default_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, facts = run(tmp_path, {})
    assert (len(rows), facts["steps"][-1], facts["quality"]["removed"]) == (7, "sampled", {})
    assert "quality gate off" in capsys.readouterr().err


def test_every_removed_row_is_counted_under_its_rule_and_subset(tmp_path: Path) -> None:
    rows, facts = run(tmp_path, {"language": ["id"], "encoding_damage": True, "boilerplate": True})
    assert {item["output"] for item in rows} == {INDONESIAN, "Naik bus"}
    assert facts["quality"]["removed"] == {
        "encoding_damage": {"dolly": 1},
        "boilerplate": {"dolly": 1},
        "language": {"dolly": 2, "wikihow": 1},
    }
    assert facts["quality"]["languages"] == {"dolly": {"en": 1, "id": 1, "su": 1}, "wikihow": {"en": 1, "id": 1}}
    steps = facts["steps"][facts["steps"].index("sampled") :]
    assert [facts["total"][step] for step in steps] == [7, 6, 5, 2]
    assert [facts["subsets"]["wikihow"][step] for step in steps] == [2, 2, 2, 1]
    assert {item["output"] for item in facts["quality"]["examples"]["language"]} == {ENGLISH, SUNDANESE}


def test_languages_to_keep_are_a_choice(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, {"language": ["id", "en", "su"]})
    assert len(rows) == 7


def test_a_gate_that_refuses_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.quality: language refuse all 7 sampled rows"):
        run(tmp_path, {"language": ["other"]})
    assert not (tmp_path / "candidates.parquet").exists()
