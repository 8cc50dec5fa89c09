"""Clustering: K-Means finds what is there, every row is described, the picture is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.cluster import umap_picture
from data_prep.cluster.clustering import cluster, describe
from data_prep.cluster.neighbour_graph import memberships, neighbour_graph
from data_prep.cluster.umap_picture import principal_components, project
from data_prep.config import DataConfig
from data_prep.select.selection import select
from tests.support.cendol_rows import article_rows, poem_rows, write_rows


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Candidates, and vectors in three far blobs: which one is told by the subset and the template."""
    folder = tmp_path_factory.mktemp("candidates")
    source = write_rows(folder / "rows.parquet", [*article_rows(40), *poem_rows(10)])
    candidates = folder / "candidates.parquet"
    select(DataConfig(sample_fraction=1.0), files=[source], seed=1, candidates=candidates, facts=folder / "select.json")
    table = pq.read_table(candidates)
    blobs = [("wikipedia_section_0", "wikipedia_section_2").index(name) if "wiki" in name else 2
             for name in table["template_name"].to_pylist()]  # fmt: skip
    vectors = np.eye(3, 16)[blobs] + 0.01 * np.random.default_rng(0).normal(size=(len(blobs), 16))
    np.save(folder / "vectors.npy", (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
    pq.write_table(table.select(["id"]), folder / "ids.parquet")
    return {"candidates": candidates, "embeddings": folder / "vectors.npy", "ids": folder / "ids.parquet"}


def run(folder: Path, inputs: dict[str, Path], **changes: Any) -> dict[str, Any]:
    names = {"clusters": "clusters.parquet", "centroids": "centroids.npy", "umap_picture": "umap.png",
             "umap_points": "umap.parquet", "facts": "cluster.json"}  # fmt: skip
    outputs = {name: folder / file for name, file in names.items()}
    cluster(DataConfig(**{"clusters": 3, "umap_sample": 40} | changes), **inputs, seed=42, **outputs)
    return json.loads(outputs["facts"].read_text())


def test_separate_blobs_become_the_clusters(tmp_path: Path, inputs: dict[str, Path]) -> None:
    facts = run(tmp_path, inputs)
    labels = pq.read_table(tmp_path / "clusters.parquet")
    table, vectors = pq.read_table(inputs["candidates"]), np.load(inputs["embeddings"])
    assert labels["id"].equals(table["id"])
    blobs = vectors[:, :3].argmax(axis=1)
    assert len(set(zip(blobs.tolist(), labels["cluster"].to_pylist(), strict=True))) == 3
    centroids = np.load(tmp_path / "centroids.npy")
    distances = np.linalg.norm(vectors[:, None] - centroids[None], axis=2)
    assert np.array_equal(distances.argmin(axis=1), labels["cluster"].to_numpy())
    assert np.abs(distances.min(axis=1) - labels["distance"].to_numpy()).max() < 1e-6
    assert facts["silhouette"]["value"] > 0.9
    assert sum(entry["rows"] for entry in facts["clusters"]) == table.num_rows
    for entry in facts["clusters"]:
        assert sum(entry["subsets"].values()) == entry["rows"]
        found = [near["distance"] for near in entry["nearest"]]
        assert found == sorted(found)
        assert len(found) == min(10, entry["rows"])


def test_picture_and_points_show_the_sample(tmp_path: Path, inputs: dict[str, Path]) -> None:
    facts = run(tmp_path, inputs)
    points = pq.read_table(tmp_path / "umap.parquet")
    assert points.column_names == ["id", "x", "y", "cluster", "subset_name", "text"]
    assert points.num_rows == facts["umap"]["rows"] == 40
    assert np.isfinite(points["x"].to_numpy()).all()
    assert (tmp_path / "umap.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_clusters(tmp_path: Path, inputs: dict[str, Path]) -> None:
    tables = []
    for part in range(2):
        run(tmp_path / str(part), inputs, kmeans_minibatch=True)
        tables.append(pq.read_table(tmp_path / str(part) / "clusters.parquet"))
    assert tables[0].equals(tables[1])


def test_words_that_are_frequent_everywhere_are_not_shown(inputs: dict[str, Path]) -> None:
    table, vectors = pq.read_table(inputs["candidates"]), np.load(inputs["embeddings"])
    labels = np.arange(table.num_rows) % 4
    described = describe(table, vectors, labels, np.zeros(len(labels)), 4, seed=0)
    assert all("ketahui" not in entry["words"] for entry in described["clusters"])


def test_more_clusters_than_rows_is_an_error(tmp_path: Path, inputs: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"data\.clusters: 5000 clusters of 120 rows"):
        run(tmp_path, inputs, clusters=5000)


@pytest.mark.parametrize("place", ["data_prep.cluster.umap_picture.project", "data_prep.cluster.umap_picture._draw"])
@pytest.mark.parametrize("error", [RuntimeError("cannot cache function: no locator available"), OSError("read-only"),
                                   ImportError("numba needs NumPy 2")])  # fmt: skip
def test_a_picture_that_fails_stops_nothing(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, place: str, error: Exception,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    facts = run(tmp_path, inputs)
    assert (tmp_path / "umap.png").read_bytes().startswith(b"\x89PNG")
    points = pq.read_table(tmp_path / "umap.parquet")
    assert np.isfinite(points["x"].to_numpy()).all()
    assert points.num_rows == facts["umap"]["rows"] == 40
    assert str(error) in capsys.readouterr().err


def test_principal_components_are_the_largest_variances() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [1, 9, 1, 5, 1, 1]
    flat = principal_components(vectors)
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    assert np.allclose(flat.var(axis=0, ddof=1), variances[:2])
    assert principal_components(vectors[:1, :1]).shape == (1, 2)


def repeated_vectors() -> np.ndarray:
    """(120, 8), length 1; forty rows are equal to others, twenty of them to one: more than a row has neighbours."""
    vectors = np.random.default_rng(3).normal(size=(120, 8)).astype(np.float32)
    vectors[80:100], vectors[100:] = vectors[:20], vectors[50]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_memberships_are_those_of_umap() -> None:
    """umap-learn's own functions, as Python runs them: compiling them takes ten seconds."""
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    vectors = repeated_vectors()
    exact = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    places = np.argsort(exact, axis=1, kind="stable")[:, :15]
    distances = np.take_along_axis(exact, places, axis=1).astype(np.float32)
    sigmas, rhos = smooth_knn_dist.py_func(distances, 15.0)
    strengths = compute_membership_strengths.py_func(places, distances, sigmas, rhos, bipartite=True)[2]
    assert np.abs(memberships(distances) - strengths.reshape(distances.shape)).max() < 1e-5


def test_the_graph_joins_both_directions() -> None:
    vectors = repeated_vectors()[:80]  # without equal ones, among which a search may choose
    graph = neighbour_graph(vectors, 15).toarray()
    assert np.array_equal(graph, graph.T)
    assert not graph.diagonal().any()
    exact = np.linalg.norm(vectors[:, None].astype(np.float64) - vectors[None], axis=2)
    places = np.argsort(exact, axis=1, kind="stable")[:, :15]
    directed = np.zeros_like(exact)
    np.put_along_axis(directed, places, memberships(np.take_along_axis(exact, places, axis=1)), axis=1)
    np.fill_diagonal(directed, 0)
    wanted = 1 - (1 - directed) * (1 - directed.T)
    assert np.abs(graph - wanted).max() < 1e-4


def test_the_graph_of_equal_rows_is_finite() -> None:
    graph = neighbour_graph(np.full((16, 4), 0.5, dtype=np.float32), 15)
    assert graph.data.min() > 0
    assert graph.data.max() <= 1


def test_a_projection_keeps_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exact graph, and beyond EXACT_ROWS by UMAP's own search, which takes half a minute to
    compile and is not run here."""
    import umap
    from sklearn.manifold import trustworthiness

    blobs = np.eye(6, 16)[np.arange(120) % 6] + 0.05 * np.random.default_rng(0).normal(size=(120, 16))
    vectors = (blobs / np.linalg.norm(blobs, axis=1, keepdims=True)).astype(np.float32)
    projected = project(vectors, seed=1)
    assert trustworthiness(vectors, projected, n_neighbors=10) > 0.9

    monkeypatch.setattr(umap_picture, "EXACT_ROWS", 119)
    monkeypatch.setattr(umap.UMAP, "fit_transform", lambda model, rows: np.full((len(rows), 2), model.random_state))
    assert (project(vectors, seed=7) == 7).all()


def test_embeddings_of_another_text_are_refused(tmp_path: Path, inputs: dict[str, Path]) -> None:
    (tmp_path / "embed.json").write_text(json.dumps({"text": "output"}))
    with pytest.raises(InputError, match=r"data\.embed_text: input, but the stage embed read output"):
        run(tmp_path, {**inputs, "embed_facts": tmp_path / "embed.json"})
