"""Stage `inputs`: rows, encoder and base, resolved to files on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.inputs.sources import prepare_inputs
from pipeline.paths import Paths

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Resolve or make rows, encoder and base."""
    prepare_inputs(
        profile.data,
        base=profile.model.base,
        base_revision=profile.model.revision,
        seed=profile.seed,
        folder=paths.inputs,
        facts=paths.inputs_facts,
    )
