"""Sentence embeddings of answers and references, for the cosine and the original study's F1 at 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.text.sentence_encoder import load_encoder
from eval.metrics.scoring import AnswerVectors
from eval.metrics.statistics import Array

ROWS = 32  # texts per batch: fixed, so that no setting changes a digit


def embed_answers(
    encoder: Path, decodings: Sequence[Sequence[str]], references: Sequence[str], others: dict[str, list[str]]
) -> AnswerVectors:
    """Embed everything that is compared with the references; every different text once.

    Args:
        encoder: a sentence-transformers folder that pools by the mean or the first token, or a plain BERT folder.
        decodings: the answers to all items, once per decoding.
        others: the floors' and the ceiling's texts, by name.
    """
    texts = sorted({text for group in (*decodings, references, *others.values()) for text in group})
    place = {text: index for index, text in enumerate(texts)}
    vectors = embed_texts(encoder, texts)

    def of(group: Sequence[str]) -> Array:
        return vectors[[place[text] for text in group]]

    return AnswerVectors(tuple(map(of, decodings)), of(references), {name: of(group) for name, group in others.items()})


def embed_texts(folder: Path, texts: Sequence[str]) -> Array:
    """L2-normalised embeddings (n, D), pooled and prefixed as the stage `embed` does it, in float64.

    Texts are batched by length in an order that depends on the texts alone.

    Raises:
        InputError: the folder does not load as an encoder, or makes its vectors in another way.
    """
    import torch

    encoder = load_encoder(folder, "cuda" if torch.cuda.is_available() else "cpu", torch.float32)
    ids = encoder.tokenizer([encoder.prefix + text for text in texts], truncation=True, max_length=encoder.limit)[
        "input_ids"
    ]
    order = sorted(range(len(ids)), key=lambda row: (len(ids[row]), row))
    vectors: dict[int, Array] = {}
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        vectors.update(zip(rows, encoder.encode([ids[row] for row in rows], torch.float64), strict=True))
    return np.stack([vectors[row] for row in range(len(ids))])
