"""Stage `embed`: one vector per candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.embed.embedding import embed
from pipeline.paths import Paths, read_inputs, require

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Embed the candidates."""
    embed(
        profile.data,
        candidates=require(paths.candidates, "select", paths),
        encoder=read_inputs(paths).encoder,
        embeddings=paths.embeddings,
        ids=paths.embedding_ids,
        facts=paths.embed_facts,
        scratch=paths.scratch,
    )
