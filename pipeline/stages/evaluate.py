"""Stage `evaluate`: one system, the base or an adapter, on the test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.lineage import check_base, check_rows
from eval.measure.evaluate import Measurement, evaluate
from pipeline.paths import Paths, answer_keys, read_inputs, require
from pipeline.watched import Sources, check_watched

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths, system: str) -> None:
    """Measure the base (`system="base"`) or one adapter on the test set."""
    check_watched(local_files(profile))
    if system != "base":
        profile.method(system)
        require(paths.adapter(system) / "adapter_config.json", f"train --method {system}", paths)
    resolved = read_inputs(paths)
    if system != "base":
        check_base(paths.adapter(system), resolved.base, resolved.base_sha256)
        check_rows(paths.adapter(system), paths.formatted)
    evaluate(
        measurement_of(profile),
        system=system,
        base=resolved.base,
        adapter=None if system == "base" else paths.adapter(system),
        test=require(paths.formatted / "test.parquet", "format", paths),
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


def measurement_of(profile: Profile) -> Measurement:
    return Measurement(profile.evaluation, profile.sampling, profile.model, profile.seed)
