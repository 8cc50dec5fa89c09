"""The evaluation's embeddings against sentence-transformers, and encoders that pool in another way.

That `inputs` refuses such encoders: `tests/unit/data_prep/inputs/test_sources.py`.
"""

from __future__ import annotations

import json
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.text.sentence_encoder import check_encoder, load_encoder
from eval.measure.embeddings import embed_answers, embed_texts

TEXTS = ["Kota Ambon ramai.", "", "satu dua tiga", "kata " * 80, "東京", "Kota Ambon ramai sekali, kata orang."]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer in sentence-transformers' layout, 48 tokens at most."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    root = tmp_path_factory.mktemp("encoder")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *letters, *(f"##{one}" for one in letters)]
    (root / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(root / "plain")
    BertTokenizerFast(vocab_file=str(root / "vocab.txt")).save_pretrained(root / "plain")
    body = Transformer(str(root / "plain"), max_seq_length=48)
    SentenceTransformer(modules=[body, Pooling(16)], device="cpu").save(str(root / "sentence"))
    SentenceTransformer(modules=[body, Pooling(16, pooling_mode="cls")], device="cpu").save(str(root / "cls"))
    prompts = {"query": "cari: ", "passage": "isi: "}
    prompted = SentenceTransformer(
        modules=[body, Pooling(16)], device="cpu", prompts=prompts, default_prompt_name="passage"
    )
    prompted.save(str(root / "prompted"))
    return root


@pytest.mark.parametrize("layout", ["sentence", "plain", "cls", "prompted"])
def test_embeddings_equal_those_of_sentence_transformers(encoder: Path, layout: str) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(encoder / layout), device="cpu").encode(TEXTS, normalize_embeddings=True)
    ours = embed_texts(encoder / layout, TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0)


def test_equal_texts_have_equal_embeddings_and_groups_keep_their_order(encoder: Path) -> None:
    embedded = embed_answers(encoder / "plain", [TEXTS[:3]], TEXTS[:3][::-1], {"prompt": [TEXTS[1]] * 3})
    [answers] = embedded.answers
    assert np.array_equal(answers, embedded.references[::-1])
    assert np.array_equal(embedded.others["prompt"], np.stack([answers[1]] * 3))


def test_layouts_make_different_vectors(encoder: Path) -> None:
    found = [embed_texts(encoder / layout, TEXTS[:1]) for layout in ("sentence", "cls", "prompted")]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in combinations(found, 2))


@pytest.mark.parametrize(
    ("prompts", "default", "name", "expected"),
    [
        ({"query": "q: ", "passage": "p: "}, "passage", None, "p: "),
        ({"query": "q: ", "passage": "p: "}, None, "intfloat/multilingual-e5-base", "q: "),
        ({"passage": "p: "}, None, None, ""),
        (None, None, "intfloat/multilingual-e5-small", "query: "),
        (None, None, "intfloat/e5-large-v2", "query: "),
        (None, None, "someone/re5-base-model", ""),
        (None, None, None, ""),
    ],
)
def test_what_stands_before_a_text_is_read_from_the_folder(
    encoder: Path, tmp_path: Path, prompts: dict[str, str] | None, default: str | None, name: str | None, expected: str
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(encoder / "sentence", folder)
    said = {"prompts": prompts or {}, "default_prompt_name": default}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"_name_or_path": name}))
    loaded = load_encoder(folder, "cpu", torch.float32)
    assert loaded.prefix == expected
    plain = load_encoder(encoder / "sentence", "cpu", torch.float32)
    ids = [plain.tokenizer(expected + TEXTS[0])["input_ids"]]
    np.testing.assert_allclose(embed_texts(folder, TEXTS[:1]), plain.encode(ids, torch.float64))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"prompts": ["a"]}, "prompts: not texts by name"),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "other"}, "'other' is not among prompts"),
    ],
)
def test_prompts_of_another_form_are_the_users_error(encoder: Path, tmp_path: Path, said: Any, words: str) -> None:
    shutil.copytree(encoder / "sentence", tmp_path / "encoder")
    (tmp_path / "encoder" / "config_sentence_transformers.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=words):
        check_encoder(tmp_path / "encoder")


def test_another_pooling_or_an_unreadable_folder_is_the_users_error(encoder: Path, tmp_path: Path) -> None:
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(InputError, match="pooling by max_tokens is not supported"):
        embed_texts(tmp_path, TEXTS)
    with pytest.raises(InputError, match=r"data\.encoder"):
        embed_texts(tmp_path / "1_Pooling", TEXTS)
