"""Stage `inputs`: rows, encoder and base, resolved to files on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import InputError
from common.yaml_text import read_yaml
from data_prep.inputs.sources import local_place, prepare_inputs
from pipeline.paths import Paths

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Resolve or make rows, encoder and base.

    Raises:
        InputError: what cannot be resolved; under DVC also rows and models of the user's that DVC does not watch.
    """
    if "DVC_ROOT" in os.environ:
        watched = Path(read_yaml(Path("params.yaml")).get("watch", "")).absolute()
        if unseen := list(unwatched(profile, watched)):
            raise InputError(unseen)
    prepare_inputs(
        profile.data,
        base=profile.model.base,
        base_revision=profile.model.revision,
        seed=profile.seed,
        folder=paths.inputs,
        facts=paths.inputs_facts,
        token_ids=profile.model.token_ids,
    )


def unwatched(profile: Profile, watched: Path) -> Iterator[str]:
    """A message for each local source outside the place that DVC watches: its changes would go unseen."""
    sources = {
        "data.source": profile.data.source,
        "data.encoder": profile.data.encoder,
        "model.base": profile.model.base,
    }
    for key, source in sources.items():
        place = local_place(source)
        if place is not None and not place.is_relative_to(watched):
            yield (
                f"{key}: {source}: `dvc repro` would not see when it changes; write `watch: {os.path.relpath(place)}` "
                "into params.yaml, or a folder that holds all your rows and models"
            )
