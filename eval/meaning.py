"""Sentence embeddings of answers and references, for the cosine and the original study's F1 at 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError
from eval.scoring import Embedded
from eval.statistics import Array

ROWS = 32  # texts per batch: fixed, so that no setting changes a digit
MAX_TOKENS = 512


def embed_answers(
    encoder: Path, answers: Sequence[str], references: Sequence[str], others: dict[str, list[str]]
) -> Embedded:
    """Embed everything that is compared with the references; every different text once.

    Args:
        encoder: a sentence-transformers folder, or a plain BERT folder (mean pooling is added there).
        others: the floors' and the ceiling's texts, by name.
    """
    texts = sorted({text for group in (answers, references, *others.values()) for text in group})
    place = {text: index for index, text in enumerate(texts)}
    vectors = embed_texts(encoder, texts)

    def of(group: Sequence[str]) -> Array:
        return vectors[[place[text] for text in group]]

    return Embedded(of(answers), of(references), {name: of(group) for name, group in others.items()})


def embed_texts(encoder: Path, texts: Sequence[str]) -> Array:
    """L2-normalised embeddings (n, D); InputError where the folder does not load as an encoder."""
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(encoder), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"data.encoder: {encoder}: does not load as a sentence encoder ({reason})") from error
    model.max_seq_length = min(model.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    vectors = model.encode(list(texts), batch_size=ROWS, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float64)
