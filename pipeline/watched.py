"""Files of the user's that a stage reads under DVC must lie where DVC looks: `watch` in params.yaml."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.errors import InputError
from common.yaml_text import read_yaml

Sources = Mapping[str, tuple[str, Path | None]]
"""Setting -> its value, and the place on this machine that it names; None where it names none."""


def check_watched(sources: Sources) -> None:
    """Raises InputError under DVC where a place lies outside the watched one: its changes would go unseen."""
    if "DVC_ROOT" not in os.environ:
        return
    watched = Path(read_yaml(Path("params.yaml")).get("watch", "")).absolute()
    if unseen := list(unwatched(sources, watched)):
        raise InputError(unseen)


def unwatched(sources: Sources, watched: Path) -> Iterator[str]:
    """A message for each place outside the watched one."""
    for key, (source, place) in sources.items():
        if place is not None and not place.is_relative_to(watched):
            yield (
                f"{key}: {source}: `dvc repro` would not see when it changes; write `watch: {os.path.relpath(place)}` "
                "into params.yaml, or a folder that holds all your rows, models and test files"
            )
