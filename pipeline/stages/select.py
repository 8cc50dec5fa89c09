"""Stage `select`: from all rows to the candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.select.selection import select, with_columns
from pipeline.paths import Paths, read_inputs

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Filter, de-duplicate and sample the rows."""
    resolved = read_inputs(paths)
    select(
        with_columns(profile.data, resolved.columns),
        files=resolved.rows,
        seed=profile.seed,
        candidates=paths.candidates,
        facts=paths.select_facts,
    )
