"""Stage `train`: one adapter on the frozen base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.naming import AdapterName
from pipeline.paths import Paths, read_inputs, require
from pipeline.provenance import provenance
from training import trainer
from training.memory import dry_run as counting
from training.plan import TrainingPlan

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths, adapter: str, dry_run: bool = False) -> None:
    """Train one adapter (`lora`, `lora-seed2`), or print what would be trained."""
    plan = training_plan(profile, paths, adapter)
    if dry_run:
        counting.dry_run(plan)
    else:
        trainer.train(plan)


def training_plan(profile: Profile, paths: Paths, adapter: str) -> TrainingPlan:
    """What the profile says of training one adapter (`lora`, `lora-seed2`).

    Raises:
        InputError: a stage before is missing.
    """
    name = AdapterName.parse(adapter)
    resolved = read_inputs(paths)
    for split in ("train", "validation"):
        require(paths.formatted / f"{split}.parquet", "format", paths)
    return TrainingPlan(
        method_name=name.method,
        model=profile.model,
        train=profile.train,
        config=profile.method(adapter),
        base=resolved.base,
        base_sha256=resolved.base_sha256,
        formatted=paths.formatted,
        output=paths.adapter(adapter),
        scratch=paths.scratch,
        seed=profile.seed if name.seed is None else name.seed,
        provenance=provenance(profile),
    )
