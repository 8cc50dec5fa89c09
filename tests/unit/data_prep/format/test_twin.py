"""The twin's splits: the same rows in its own chat form; with the base's tokenizer, the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.bundled.models.base import SHIPPED
from data_prep.config import DataConfig
from data_prep.format.formatting import SPLITS, format_splits
from tests.support.evaluation import write_tiny_illada


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    folder = tmp_path / "splits"
    folder.mkdir()
    for name in SPLITS:
        rows = [
            {"id": f"{name}-{n}", "subset_name": "dolly", "template_name": "t", "cluster": n % 2,
             "input": f"Apa ibu kota provinsi {n}?", "output": f"Ibu kotanya kota {n}."}
            for n in range(3)
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def formatted(splits: Path, twin: Path | None) -> Path:
    place = splits.parent / "formatted"
    data = DataConfig.model_validate({})
    format_splits(data, splits=splits, tokenizer=SHIPPED, formatted=place, facts=place.parent / "f.json", twin=twin)
    return place


def test_the_same_tokenizer_gives_the_same_bytes(splits: Path) -> None:
    place = formatted(splits, SHIPPED)
    for name in SPLITS:
        assert (place / f"{name}.parquet").read_bytes() == (place / "twin" / f"{name}.parquet").read_bytes()
    assert "twin/test.parquet" in " ".join(json.loads((place.parent / "f.json").read_text())["files"]["wrote"])


def test_another_tokenizer_has_its_own_chat_form(splits: Path) -> None:
    place = formatted(splits, write_tiny_illada(splits.parent / "other"))
    ours, theirs = (pq.read_table(place / folder / "test.parquet") for folder in (".", "twin"))
    assert ours["id"] == theirs["id"]
    assert ours["prompt"] == theirs["prompt"]
    assert ours["input_ids"] != theirs["input_ids"]


def test_no_twin_no_folder_and_a_missing_one_is_named(splits: Path) -> None:
    assert not (formatted(splits, None) / "twin").exists()
    with pytest.raises(InputError, match=r"twin\.base"):
        formatted(splits, splits.parent / "nowhere")
