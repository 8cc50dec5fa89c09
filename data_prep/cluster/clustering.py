"""Stage `cluster`: K-Means over the embeddings, what is in each cluster, and a picture of them.

K-Means with a fixed seed is not bit-stable across thread counts and library versions, so its outcome, every row's
cluster, is stored: later stages read it and never fit again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import seals
from common.errors import InputError
from common.files import atomic_path, write_json
from common.progress import progress_bar
from common.records import Record, read_record
from data_prep.config import DataConfig
from data_prep.rows.documents import leading_texts
from data_prep.rows.tables import print_table
from data_prep.rows.text import folded_words
from data_prep.rows.vectors import read_with_vectors

SILHOUETTE_ROWS = 2000
NEAREST_ROWS = 10
FREQUENT_WORDS = 12
WORD_LETTERS = 4
"""Shorter words (dan, di, yang) say nothing about a cluster."""
MOST_CLUSTERS_SHARE = 0.8
"""A word that is frequent in more than this share of the clusters distinguishes none."""


class _Embedding(Record):
    """What is read of the facts of `embed`."""

    text: str


def cluster(
    data: DataConfig,
    *,
    candidates: Path,
    embeddings: Path,
    ids: Path,
    seed: int,
    clusters: Path,
    centroids: Path,
    umap_picture: Path,
    umap_points: Path,
    facts: Path,
    embed_facts: Path | None = None,
) -> None:
    """Write every row's cluster and distance to its centroid, the centroids, the UMAP picture and points, and facts.

    Raises:
        InputError: fewer rows than clusters; embeddings that belong to other candidates, or of another text than
            `data.embed_text` (`embed_facts`: what the stage embed recorded).
    """
    from data_prep.cluster.umap_picture import draw_umap

    embedded = None if embed_facts is None else read_record(embed_facts, _Embedding, "python -m pipeline embed").text
    if embedded not in (None, data.embed_text):
        raise InputError(
            f"data.embed_text: {data.embed_text}, but the stage embed read {embedded} "
            f"({embeddings}); run it again, or set data.embed_text as it was"
        )
    table, vectors = read_with_vectors(candidates, embeddings, ids)
    if len(vectors) < data.clusters:
        raise InputError(
            f"data.clusters: {data.clusters} clusters of {len(vectors)} rows; lower it or select more rows"
        )
    with progress_bar() as progress:
        task = progress.add_task("cluster", total=4, note="K-Means")
        model = fit(vectors, data, seed)
        labels = model.labels
        distances = np.linalg.norm(vectors - model.centroids[labels], axis=1).astype(np.float32)
        progress.update(task, advance=1, note="describing")
        described = describe(table, vectors, labels, distances, data.clusters, seed)
        progress.update(task, advance=1, note="UMAP")
        shown = draw_umap(
            table, vectors, labels, rows=data.umap_sample, seed=seed, picture=umap_picture, points=umap_points
        )
        progress.update(task, advance=1, note="writing")
        with atomic_path(clusters) as temporary:
            pq.write_table(pa.table({"id": table["id"], "cluster": labels, "distance": distances}), temporary)
        with atomic_path(centroids) as temporary:
            np.save(temporary, model.centroids)
        progress.update(task, advance=1, note="done")
    settings = {
        "init": data.kmeans_init,
        "n_init": data.kmeans_n_init,
        "minibatch": data.kmeans_minibatch,
        "seed": seed,
    }
    content = {
        "kmeans": {**settings, "inertia": model.inertia, "iterations": model.iterations},
        **described,
        "umap": shown,
    }
    read = [path for path in (candidates, embeddings, ids, embed_facts) if path is not None]
    write_json(facts, seals.sealed(facts, content, read=read, wrote=[clusters, centroids, umap_points]))
    _print(described)


@dataclass(frozen=True)
class Fitted:
    """labels (N,) int32; centroids (K, D) float32; inertia: the sum of squared distances to the own centroid."""

    labels: np.ndarray
    centroids: np.ndarray
    inertia: float
    iterations: int


def fit(vectors: np.ndarray, data: DataConfig, seed: int) -> Fitted:
    """K-Means, Euclidean, on (N, D) float32; the best of `n_init` starts."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    settings: dict[str, Any] = {
        "n_clusters": data.clusters,
        "init": data.kmeans_init,
        "n_init": data.kmeans_n_init,
        "random_state": seed,
    }
    model: Any = MiniBatchKMeans(**settings, batch_size=8192) if data.kmeans_minibatch else KMeans(**settings)
    model.fit(vectors)
    centroids = model.cluster_centers_.astype(np.float32)
    return Fitted(model.labels_.astype(np.int32), centroids, float(model.inertia_), int(model.n_iter_))


def describe(
    table: pa.Table, vectors: np.ndarray, labels: np.ndarray, distances: np.ndarray, count: int, seed: int
) -> dict[str, Any]:
    """Sizes, subsets, silhouette on a sample, and per cluster its nearest rows and frequent words."""
    subsets = table["subset_name"].to_pylist()
    by_cluster = Counter(zip(labels.tolist(), subsets, strict=True))
    names = sorted(set(subsets))
    nearest = {
        number: np.flatnonzero(labels == number)[np.argsort(distances[labels == number], kind="stable")[:NEAREST_ROWS]]
        for number in range(count)
    }
    vocabulary = _frequent_words(table, labels, count)
    return {
        "clusters": [
            {
                "cluster": number,
                "rows": int((labels == number).sum()),
                "subsets": {name: by_cluster[number, name] for name in names},
                "words": vocabulary[number],
                "nearest": [_row(table, row, distances) for row in nearest[number].tolist()],
            }
            for number in range(count)
        ],
        "silhouette": _silhouette(vectors, labels, seed),
    }


def _row(table: pa.Table, row: int, distances: np.ndarray) -> dict[str, Any]:
    named = {name: table[name][row].as_py() for name in ("id", "subset_name", "template_name")}
    return {**named, "distance": round(float(distances[row]), 5), "input": leading_texts(table.slice(row, 1))[0][:160]}


def _frequent_words(table: pa.Table, labels: np.ndarray, count: int) -> list[list[str]]:
    """Per cluster the words that most of its inputs have, without those that are frequent nearly everywhere."""
    rows: list[Counter[str]] = [Counter() for _ in range(count)]
    for text, label in zip(leading_texts(table), labels.tolist(), strict=True):
        rows[label].update({word for word in folded_words(text[:2000]) if len(word) >= WORD_LETTERS})
    common = [{word for word, _ in counter.most_common(5 * FREQUENT_WORDS)} for counter in rows]
    spread = Counter(word for frequent in common for word in frequent)
    everywhere = {word for word, clusters in spread.items() if clusters > MOST_CLUSTERS_SHARE * count and count > 1}
    ranked = [sorted(counter.items(), key=lambda item: (-item[1], item[0])) for counter in rows]
    return [[word for word, _ in entries if word not in everywhere][:FREQUENT_WORDS] for entries in ranked]


def _silhouette(vectors: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Mean silhouette coefficient of a random sample; None where it has one cluster only."""
    from sklearn.metrics import silhouette_score

    size = min(SILHOUETTE_ROWS, len(labels))
    sample = np.sort(np.random.default_rng(seed).choice(len(labels), size, replace=False))
    seen = len(np.unique(labels[sample]))
    value = float(silhouette_score(vectors[sample], labels[sample])) if 1 < seen < size else None
    return {"value": value, "rows": size}


def _print(described: dict[str, Any]) -> None:
    from rich.table import Table

    silhouette = described["silhouette"]["value"]
    title = "clusters" if silhouette is None else f"clusters (silhouette {silhouette:.3f})"
    shown = Table(title=title)
    shown.add_column("cluster", justify="right")
    shown.add_column("rows", justify="right")
    shown.add_column("largest subsets")
    shown.add_column("frequent words")
    for entry in described["clusters"]:
        largest = sorted(entry["subsets"].items(), key=lambda item: -item[1])[:2]
        subsets = ", ".join(f"{name} {rows:,}" for name, rows in largest if rows)
        shown.add_row(str(entry["cluster"]), f"{entry['rows']:,}", subsets, ", ".join(entry["words"][:6]))
    print_table(shown)
