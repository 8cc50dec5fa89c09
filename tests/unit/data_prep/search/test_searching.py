"""Search by meaning: exact cosine with the encoder's own way of reading, and where each hit stands."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from common.errors import InputError
from common.text.sentence_encoder import load_encoder
from data_prep.search import searching
from pipeline.commands.measuring.search import show
from tests.support.cendol_rows import write_encoder

ROWS = 50


@pytest.fixture
def artefacts(tmp_path):
    dice = np.random.default_rng(1)
    vectors = dice.normal(size=(ROWS, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"row-{number}" for number in range(ROWS)]
    table = pa.table({"id": names, "subset_name": ["s"] * ROWS, "input": names, "output": ["jawaban"] * ROWS})
    pq.write_table(table, tmp_path / "candidates.parquet")
    pq.write_table(table.select(["id"]), tmp_path / "ids.parquet")
    pq.write_table(pa.table({"id": names[::-1], "cluster": list(range(ROWS))}), tmp_path / "clusters.parquet")
    np.save(tmp_path / "embeddings.npy", vectors)
    splits = tmp_path / "splits"
    splits.mkdir()
    for number, side in enumerate(("train", "validation", "test")):
        pq.write_table(pa.table({"id": names[number:40:4]}), splits / f"{side}.parquet")
    return tmp_path, vectors


def look(folder, query="cara merawat tanaman", top=10, **changes):
    places = {name: folder / f"{name}.parquet" for name in ("candidates", "ids", "clusters")}
    places |= {"embeddings": folder / "embeddings.npy", "splits": folder / "splits", "encoder": folder / "encoder"}
    return searching.search(query, top, **places | changes)


@pytest.fixture
def wanted(monkeypatch):
    vector = np.array([0.6, 0.8, 0, 0, 0, 0], dtype=np.float32)
    monkeypatch.setattr(searching, "embed_query", lambda query, encoder: vector)
    return vector


def test_the_hits_are_the_largest_cosines_of_all_rows_however_they_are_cut(artefacts, wanted, monkeypatch):
    folder, vectors = artefacts
    cosines = {f"row-{number}": float(np.dot(row, wanted)) for number, row in enumerate(vectors)}
    expected = sorted(cosines, key=lambda name: -cosines[name])
    for chunk in (searching.CHUNK, 7):
        monkeypatch.setattr(searching, "CHUNK", chunk)
        hits = look(folder, top=ROWS + 5)
        assert [hit.row["id"] for hit in hits] == expected
        assert [hit.cosine for hit in hits] == pytest.approx([cosines[name] for name in expected], abs=1e-6)
    assert [hit.row["id"] for hit in look(folder, top=3)] == expected[:3]


def test_each_hit_says_its_cluster_and_side(artefacts, wanted):
    for hit in look(artefacts[0], top=ROWS):
        number = int(hit.row["id"].removeprefix("row-"))
        assert hit.cluster == ROWS - 1 - number
        sides = ["train", "validation", "test", "-"]
        assert hit.split == (sides[number % 4] if number < 40 else "-")


def test_before_the_later_stages_there_is_neither(artefacts, wanted):
    folder, _ = artefacts
    hits = look(folder, clusters=folder / "none.parquet", splits=folder / "none")
    assert {(hit.cluster, hit.split) for hit in hits} == {(None, None)}


def test_what_does_not_belong_together_is_refused(artefacts, wanted, monkeypatch):
    folder, _ = artefacts
    with pytest.raises(InputError, match="query is empty"):
        look(folder, query=" \n")
    monkeypatch.setattr(searching, "embed_query", lambda query, encoder: np.zeros(4, dtype=np.float32))
    with pytest.raises(InputError, match=r"6 numbers a row, and the encoder .* gives 4"):
        look(folder)
    pq.write_table(pa.table({"id": ["other"] * ROWS}), folder / "ids.parquet")
    with pytest.raises(InputError, match="other candidates"):
        look(folder)


def test_a_hit_in_the_test_set_is_warned_of(artefacts, wanted, capfd):
    hits = look(artefacts[0], top=ROWS)
    show(hits)
    said = capfd.readouterr()
    assert "warning: 10 of these rows stand in the test set: row-" in said.err
    assert "and others" in said.err
    show([hit for hit in hits if hit.split != "test"])
    assert "warning" not in capfd.readouterr().err


def test_a_query_is_embedded_as_a_candidate_is(tmp_path):
    """With the prefix that its folder asks for: the vector that `embed`'s own path gives to the same text."""
    folder = write_encoder(tmp_path / "encoder")
    plain = searching.embed_query("cara merawat tanaman", folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    asked = searching.embed_query("cara merawat tanaman", folder)
    loaded = load_encoder(folder, "cpu", torch.float32)
    ids = loaded.tokenizer("query: cara merawat tanaman")["input_ids"]
    assert asked == pytest.approx(loaded.encode([ids], torch.float32)[0], abs=1e-6)
    assert np.linalg.norm(asked) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(asked, plain, atol=1e-4)


def test_the_command_names_the_stage_that_is_missing(tmp_path):
    from pipeline.application import app

    answer = CliRunner().invoke(app, ["search", "tanaman", "--artifacts", str(tmp_path)])
    assert answer.exit_code == 2
    assert "run `python -m pipeline select" in answer.stderr
