"""Stage `format`: the splits as token ids in chat form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.format.formatting import format_splits
from pipeline.paths import Paths, read_inputs, require

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Tokenise the splits in chat form, in the twin's too where there is one."""
    resolved = read_inputs(paths)
    format_splits(
        profile.data,
        splits=require(paths.splits, "split", paths),
        split_facts=require(paths.leakage_facts, "split", paths),
        tokenizer=resolved.base,
        twin=resolved.twin and resolved.twin.folder,
        formatted=paths.formatted,
        facts=paths.format_facts,
    )
