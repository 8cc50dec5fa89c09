"""Embedding: pooling against a plain loop, shards that survive a kill and notice damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from common.errors import InputError
from common.text.sentence_encoder import SentenceEncoder, load_encoder
from data_prep.config import DataConfig
from data_prep.embed import embedding
from data_prep.embed.embedding import TOKENS_PER_ROW, batches, embed, texts_to_embed
from data_prep.select.selection import select
from tests.support.cendol_rows import article_rows, row, sentence, write_encoder, write_rows


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import random

    folder = tmp_path_factory.mktemp("rows")
    long = [row("dolly", "dolly_closed_qa", sentence(random.Random(n), 400), "ya") for n in range(3)]
    long.append(row("dolly", "dolly_closed_qa", "kata " * 210_000, "ya"))  # one cell of more than a megabyte
    source = write_rows(folder / "rows.parquet", [*article_rows(60), *long])
    path = folder / "candidates.parquet"
    select(DataConfig(sample_fraction=1.0), files=[source], seed=1, candidates=path, facts=folder / "select.json")
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


def run(folder: Path, candidates: Path, encoder: Path, **changes: Any) -> np.ndarray:
    paths = {"embeddings": folder / "embeddings.npy", "ids": folder / "ids.parquet", "facts": folder / "embed.json"}
    embed(DataConfig(**changes), candidates=candidates, encoder=encoder, scratch=folder / "scratch", **paths)
    return np.load(paths["embeddings"])


def one_by_one(candidates: Path, encoder: Path) -> np.ndarray:
    """Each text alone, without padding: the mean of the last hidden states, L2-normalised, in float64."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).double().eval()
    vectors = []
    for text in pq.read_table(candidates)["input"].to_pylist():
        tokens = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
        with torch.no_grad():
            mean = model(input_ids=tokens["input_ids"]).last_hidden_state[0].mean(0).numpy()
        vectors.append(mean / np.linalg.norm(mean))
    return np.array(vectors)


def test_embeddings_are_the_masked_means_of_length_one(tmp_path: Path, candidates: Path, encoder: Path) -> None:
    vectors = run(tmp_path, candidates, encoder)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    assert np.abs(vectors - one_by_one(candidates, encoder)).max() < 1e-5
    assert pq.read_table(tmp_path / "ids.parquet")["id"].equals(pq.read_table(candidates)["id"])
    facts = json.loads((tmp_path / "embed.json").read_text())
    assert (facts["truncated"], facts["tokens_max"], facts["rows"]) == (4, 512, len(vectors))


def test_a_killed_run_continues_where_it_was(
    tmp_path: Path, candidates: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SHARD_ROWS", 16)
    whole = run(tmp_path / "whole", candidates, encoder)
    encode, calls = SentenceEncoder.encode, []

    def dying(encoder: SentenceEncoder, ids: list[list[int]], dtype: torch.dtype) -> np.ndarray:
        calls.append(len(ids))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(encoder, ids, dtype)

    monkeypatch.setattr(SentenceEncoder, "encode", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", candidates, encoder)
    done = list((tmp_path / "killed" / "scratch").glob("embed-*/*.npy"))
    assert len(done) == 3
    done[0].write_bytes(done[0].read_bytes()[:-5])  # damaged: cut short
    content = bytearray(done[1].read_bytes())
    content[-1] ^= 1  # damaged: one bit
    done[1].write_bytes(bytes(content))
    calls[:] = [0] * 10
    resumed = run(tmp_path / "killed", candidates, encoder)
    assert np.array_equal(resumed, whole)
    assert sum(calls) == len(whole) - 16  # only the one undamaged shard was not done again
    assert not list((tmp_path / "killed" / "scratch").glob("embed-*"))


def test_the_texts_to_embed_can_be_chosen(candidates: Path) -> None:
    table = pq.read_table(candidates).slice(0, 3)
    given, answers = table["input"].to_pylist(), table["output"].to_pylist()
    assert texts_to_embed(table, "input") == given
    assert texts_to_embed(table, "output") == answers
    assert texts_to_embed(table, "both") == [f"{one}\n{other}" for one, other in zip(given, answers, strict=True)]


@given(st.lists(st.integers(1, 512), max_size=300), st.integers(1, 64))
def test_batches_cover_all_rows_once_and_keep_the_budget(lengths: list[int], batch_size: int) -> None:
    ordered = np.sort(np.array(lengths, dtype=np.int64))
    slices = list(batches(ordered, batch_size))
    assert [place for part in slices for place in range(part.start, part.stop)] == list(range(len(ordered)))
    for part in slices:
        size = part.stop - part.start
        assert size == 1 or size * ordered[part][-1] <= batch_size * TOKENS_PER_ROW


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path, candidates: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"data\.encoder: .*does not load"):
        run(tmp_path, candidates, tmp_path / "empty")


def test_an_encoder_that_would_have_random_weights_is_refused(tmp_path: Path, encoder: Path) -> None:
    """Keys under a prefix that the network does not know, as another library may write them."""
    other = tmp_path / "encoder"
    shutil.copytree(encoder, other)
    tensors = load_file(other / "model.safetensors")
    save_file(
        {f"module.{name}": tensor for name, tensor in tensors.items()}, other / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(
        InputError, match=r"data\.encoder: .* weights are not in its files \(.*would be random"
    ) as refusal:
        load_encoder(other, "cpu", torch.float32)
    assert len(str(refusal.value)) < 300 + len(str(other))
    load_encoder(encoder, "cpu", torch.float32)


def test_an_encoder_without_a_pooler_is_an_encoder(tmp_path: Path, encoder: Path) -> None:
    other = tmp_path / "encoder"
    shutil.copytree(encoder, other)
    tensors = load_file(other / "model.safetensors")
    bare = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    save_file(bare, other / "model.safetensors", {"format": "pt"})
    assert len(bare) < len(tensors)
    load_encoder(other, "cpu", torch.float32)


def test_the_stage_uses_what_the_folder_says_of_pooling_and_prompts(
    tmp_path: Path, candidates: Path, encoder: Path
) -> None:
    """The same vectors as the evaluation's, by the first token and behind a prompt."""
    from eval.measure.embeddings import embed_texts

    other = tmp_path / "encoder"
    shutil.copytree(encoder, other)
    (other / "1_Pooling").mkdir()
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [{"path": place, "type": f"sentence_transformers.models.{kind}"} for place, kind in kinds]
    (other / "modules.json").write_text(json.dumps(modules))
    (other / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    said = {"prompts": {"query": "cari "}, "default_prompt_name": "query"}
    (other / "config_sentence_transformers.json").write_text(json.dumps(said))
    found = run(tmp_path, candidates, other)
    facts = json.loads((tmp_path / "embed.json").read_text())
    assert facts["pooling"] == "first token, then L2 norm 1, each text after 'cari '"
    texts = pq.read_table(candidates)["input"].to_pylist()[:8]
    np.testing.assert_allclose(found[:8], embed_texts(other, texts), atol=1e-5)
    assert np.abs(found[:8] - run(tmp_path, candidates, encoder)[:8]).max() > 1e-3
