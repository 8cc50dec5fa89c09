"""Stage `train`: one adapter on the frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.naming import AdapterName
from pipeline.paths import Paths, read_inputs, require
from pipeline.provenance import provenance
from training import trainer

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths, adapter: str, dry_run: bool = False) -> None:
    """Train one adapter (`lora`, `lora-seed2`), or print what would be trained."""
    arguments = train_arguments(profile, paths, adapter)
    (trainer.dry_run if dry_run else trainer.train)(AdapterName.parse(adapter).method, **arguments)


def train_arguments(profile: Profile, paths: Paths, adapter: str) -> dict[str, Any]:
    """The keyword arguments of `training.trainer.train` and `dry_run` for one adapter (`lora`, `lora-seed2`)."""
    seed = AdapterName.parse(adapter).seed
    resolved = read_inputs(paths)
    for name in ("train", "validation"):
        require(paths.formatted / f"{name}.parquet", "format", paths)
    return {
        "model": profile.model,
        "train": profile.train,
        "config": profile.method(adapter),
        "base": resolved.base,
        "base_sha256": resolved.base_sha256,
        "formatted": paths.formatted,
        "output": paths.adapter(adapter),
        "scratch": paths.scratch,
        "seed": profile.seed if seed is None else seed,
        "provenance": provenance(profile),
    }
