"""Stage `train`: one adapter on the frozen base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.naming import AdapterName
from common.errors import InputError
from common.systems import is_twin
from pipeline.paths import Paths, formatted_for, read_inputs, require
from pipeline.provenance import provenance
from training import trainer
from training.memory import dry_run as counting
from training.plan import TrainingPlan

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(
    profile: Profile,
    paths: Paths,
    adapter: str,
    dry_run: bool = False,
    fresh: bool = False,
    fits: bool = False,
    on_cpu: bool = False,
) -> None:
    """Train one adapter (`lora`, `lora-seed2`), or print what would be trained; the rest as in `train`."""
    plan = training_plan(profile, paths, adapter)
    if dry_run:
        counting.dry_run(plan)
    else:
        trainer.train(plan, fresh, fits, on_cpu)


def training_plan(profile: Profile, paths: Paths, adapter: str) -> TrainingPlan:
    """What the profile says of training one adapter (`lora`, `lora-seed2`).

    Raises:
        InputError: a stage before is missing.
    """
    name = AdapterName.parse(adapter)
    inputs, config = read_inputs(paths, profile.model.base), profile.method(adapter)
    base = inputs.base_of(adapter)
    formatted = formatted_for(adapter, paths.formatted)
    for split in ("train", "validation"):
        require(formatted / f"{split}.parquet", "format", paths)
    model = profile.twin if is_twin(adapter) else profile.model
    assert model is not None  # a profile with a method of the twin has one
    return TrainingPlan(
        method_name=name.method,
        model=model,
        train=profile.train,
        config=config,
        base=base.folder,
        base_sha256=base.sha256,
        base_revision=base.revision,
        formatted=formatted,
        output=paths.adapter(adapter),
        scratch=paths.scratch,
        seed=profile.seed if name.seed is None else name.seed,
        provenance=provenance(profile),
        init_from=_adapter_folder(profile.train.init_from, paths),
    )


def _adapter_folder(place: str | None, paths: Paths) -> Path | None:
    """Where `train.init_from` points: a folder, or an adapter of this profile by its name."""
    if place is None:
        return None
    try:
        if Path(place).is_dir():
            return Path(place)
        named = paths.adapter(place)
        if named.is_dir():
            return named
    except (OSError, ValueError):  # a name that no file system takes
        named = Path(place[:80])
    raise InputError(f"train.init_from: {place[:80]}: neither a folder nor an adapter of this profile ({named})")
