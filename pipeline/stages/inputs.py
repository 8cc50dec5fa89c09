"""Stage `inputs`: rows, encoder and base, resolved to files on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.inputs.sources import local_place, prepare_inputs
from pipeline.paths import Paths
from pipeline.watched import Sources, check_watched

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Resolve or make rows, encoder and base.

    Raises:
        InputError: what cannot be resolved; under DVC also rows and models of the user's that DVC does not watch.
    """
    check_watched(local_sources(profile))
    prepare_inputs(
        profile.data,
        base=profile.model.base,
        base_revision=profile.model.revision,
        seed=profile.seed,
        folder=paths.inputs,
        facts=paths.inputs_facts,
        token_ids=profile.model.token_ids,
        twin=profile.twin and profile.twin.base,
        twin_revision=profile.twin and profile.twin.revision,
    )


def local_sources(profile: Profile) -> Sources:
    """Rows, encoder and base, with their place where they lie on this machine."""
    sources = {
        "data.source": profile.data.source,
        "data.encoder": profile.data.encoder,
        "model.base": profile.model.base,
    } | ({} if profile.twin is None else {"twin.base": profile.twin.base})
    return {key: (source, local_place(source)) for key, source in sources.items()}
