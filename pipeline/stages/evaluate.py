"""Stage `evaluate`: one system, the base or an adapter, on the test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.lineage import check_base, check_rows
from common.errors import InputError
from common.systems import BASES, is_twin
from eval.measure.evaluate import Measurement, evaluate
from pipeline.paths import Paths, answer_keys, formatted_for, read_inputs, require
from pipeline.watched import Sources, check_watched

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths, system: str) -> None:
    """Measure the base (`system="base"`) or one adapter on the test set."""
    check_watched(local_files(profile))
    adapter = None if system in BASES else paths.adapter(system)
    if adapter is not None:
        profile.method(system)
        require(adapter / "adapter_config.json", f"train --method {system}", paths)
    resolved = read_inputs(paths)
    base, formatted = resolved.base_of(system), formatted_for(system, paths.formatted)
    if adapter is not None:
        check_base(adapter, base.folder, base.sha256)
        check_rows(adapter, formatted)
    evaluate(
        measurement_of(profile, system),
        system=system,
        base=base.folder,
        adapter=adapter,
        test=require(formatted / "test.parquet", "format", paths),
        output=paths.evaluation(system),
        encoder=resolved.encoder,
        answer_keys=answer_keys(paths),
    )


def local_files(profile: Profile) -> Sources:
    """The public test files that are measured besides."""
    evaluation = profile.evaluation
    files = {"evaluation.english_file": evaluation.english_file}
    for number, task in enumerate(evaluation.tasks):
        files |= {f"evaluation.tasks[{number}].{key}": getattr(task, key) for key in ("file", "shots_file")}
    return {key: (file, Path(file).absolute()) for key, file in files.items() if file is not None}


def measurement_of(profile: Profile, system: str = "base") -> Measurement:
    """What the profile says of measuring a system. Beside a twin, a few answers are timed alone too.

    Raises:
        InputError: a system of the twin, where there is none.
    """
    if not is_twin(system):
        return Measurement(profile.evaluation, profile.sampling, profile.model, profile.seed, beside=bool(profile.twin))
    if profile.twin is None:
        raise InputError(f"--method: {system!r}: profile {profile.name!r} has no section twin")
    return Measurement(profile.evaluation, profile.sampling, profile.twin, profile.seed, causal=True, beside=True)
