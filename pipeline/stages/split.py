"""Stage `split`: training, validation and test rows, disjoint by content, and the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.split.splitting import split
from pipeline.paths import Paths, require

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Draw training, validation and test rows, disjoint by content, and audit them."""
    split(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        embeddings=require(paths.embeddings, "embed", paths),
        ids=require(paths.embedding_ids, "embed", paths),
        clusters=require(paths.clusters, "cluster", paths),
        cluster_facts=require(paths.cluster_facts, "cluster", paths),
        seed=profile.seed,
        splits=paths.splits,
        facts=paths.leakage_facts,
    )
