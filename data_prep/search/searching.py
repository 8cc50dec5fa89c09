"""The candidates nearest in meaning to a text: exact cosine over all embeddings, no index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from common.errors import InputError
from common.text.sentence_encoder import load_encoder
from data_prep.embed.embedding import tokenize
from data_prep.rows.vectors import read_with_vectors
from llada.chat_format import whole_characters

CHUNK = 65_536
"""Embeddings that are compared at once, 200 MB of 768 float32 each."""


@dataclass(frozen=True)
class Hit:
    """One candidate. cluster and split are None where those stages have not run; split is `-` for a row of no split."""

    cosine: float
    row: dict[str, Any]
    cluster: int | None
    split: str | None


def search(
    query: str, top: int, *, candidates: Path, embeddings: Path, ids: Path, encoder: Path, clusters: Path, splits: Path
) -> list[Hit]:
    """The `top` candidates whose vectors have the largest cosine with the query's, best first, ties in row order.

    Args:
        query: embedded as `embed` embeds a candidate: same encoder, pooling, prefix and limit, in float32.
        clusters, splits: their file and folder; either may not be there yet.

    Raises:
        InputError: an empty query; the embeddings are of other candidates or of an encoder of another width.
    """
    if not query.strip():
        raise InputError("the query is empty; write what to look for")
    table, vectors = read_with_vectors(candidates, embeddings, ids)
    wanted = embed_query(query, encoder)
    if len(wanted) != vectors.shape[1]:
        raise InputError(
            f"{embeddings}: {vectors.shape[1]} numbers a row, and the encoder {encoder} gives {len(wanted)}; "
            "run the stage embed again"
        )
    cosines = np.concatenate([vectors[start : start + CHUNK] @ wanted for start in range(0, len(vectors), CHUNK)])
    best = np.argsort(-cosines, kind="stable")[:top]
    rows = table.take(best).to_pylist()
    known = by_id(clusters, "cluster") if clusters.is_file() else None
    sides = split_of(splits) if splits.is_dir() else None
    return [
        Hit(
            float(cosines[place]),
            row,
            None if known is None else known.get(row["id"]),
            None if sides is None else sides.get(row["id"], "-"),
        )
        for place, row in zip(best, rows, strict=True)
    ]


def embed_query(query: str, encoder: Path) -> np.ndarray:
    """(D,) float32 of length 1."""
    import torch

    loaded = load_encoder(encoder, "cpu", torch.float32)
    return loaded.encode(tokenize(loaded, [whole_characters(query)]).ids, torch.float32)[0]


def by_id(path: Path, column: str) -> dict[str, Any]:
    table = pq.read_table(path, columns=["id", column])
    return dict(zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True))


def split_of(folder: Path) -> dict[str, str]:
    """The side of each row that stands on one."""
    sides = {}
    for name in ("train", "validation", "test"):
        for identity in pq.read_table(folder / f"{name}.parquet", columns=["id"])["id"].to_pylist():
            sides[identity] = name
    return sides
