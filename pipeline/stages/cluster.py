"""Stage `cluster`: K-Means over the embeddings, and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.cluster.clustering import cluster
from pipeline.paths import Paths, require

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Cluster the embeddings and draw them."""
    cluster(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        embeddings=require(paths.embeddings, "embed", paths),
        ids=require(paths.embedding_ids, "embed", paths),
        embed_facts=require(paths.embed_facts, "embed", paths),
        seed=profile.seed,
        clusters=paths.clusters,
        centroids=paths.centroids,
        umap_picture=paths.umap_picture,
        umap_points=paths.umap_points,
        facts=paths.cluster_facts,
    )
