"""The evaluation's embeddings against sentence-transformers, and encoders that pool in another way.

That `inputs` refuses such encoders: `tests/unit/data_prep/inputs/test_sources.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
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
    return root


@pytest.mark.parametrize("layout", ["sentence", "plain"])
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


def test_another_pooling_or_an_unreadable_folder_is_the_users_error(encoder: Path, tmp_path: Path) -> None:
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with pytest.raises(InputError, match="pooling by cls_token is not supported"):
        embed_texts(tmp_path, TEXTS)
    with pytest.raises(InputError, match=r"data\.encoder"):
        embed_texts(tmp_path / "1_Pooling", TEXTS)
