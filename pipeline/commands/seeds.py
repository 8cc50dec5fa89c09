"""`python -m pipeline seeds`: more trainings of every method, each evaluated, so that the report compares methods and
not single adapters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.naming import AdapterName
from pipeline.options import (
    ArtifactsOption,
    MethodsOption,
    ProfileOption,
    SetOption,
    natural,
    running,
    taking_turns,
    values,
)

if TYPE_CHECKING:
    from pipeline.paths import Paths
    from pipeline.profile import Profile


def seeds(
    seeds: Annotated[str, typer.Option("--seeds", help="Training seeds, with commas.")],
    methods: MethodsOption = "lora,loraplus,pissa",
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Train and evaluate every method with more training seeds.

    The report pools them. Resumable.
    """
    with running("seeds", profile, overrides, artifacts) as (settings, paths), taking_turns("seeds", paths):
        names, numbers = values("--methods", methods, str), values("--seeds", seeds, natural)
        train_and_evaluate(settings, paths, adapters_of(settings, names, numbers))


def adapters_of(profile: Profile, methods: Sequence[str], seeds: Sequence[int]) -> list[AdapterName]:
    """The adapter of every seed and method; raises InputError for a method that the profile has not."""
    adapters = [AdapterName(method, None if seed == profile.seed else seed) for seed in seeds for method in methods]
    for adapter in adapters:
        profile.method(str(adapter))
    return adapters


def train_and_evaluate(profile: Profile, paths: Paths, adapters: Sequence[AdapterName]) -> None:
    """Train and evaluate each adapter where that is not done yet.

    Raises:
        InputError: a stage before is missing; or what training and evaluation raise.
    """
    from common.progress import console
    from eval.measure.evaluate import is_measured
    from pipeline.paths import answer_keys, command_for, formatted_for, require
    from pipeline.stages import evaluate as evaluation
    from pipeline.stages.train import training_plan
    from training.plan import is_finished
    from training.trainer import train

    keys = answer_keys(paths)
    for adapter in adapters:
        name = str(adapter)
        test = require(formatted_for(name, paths.formatted) / "test.parquet", "format", paths)
        plan = training_plan(profile, paths, name)
        with taking_turns(f"train-{name}", paths):
            if is_finished(plan):
                console.print(f"{name}: trained with these settings before")
            else:
                train(plan)
        measured = evaluation.measurement_of(profile, name)
        with taking_turns(f"evaluate-{name}", paths):
            if is_measured(paths.evaluation(name), measured, adapter=plan.output, test=test, answer_keys=keys):
                console.print(f"{name}: evaluated with these settings before")
            else:
                evaluation.run(profile, paths, name)
    console.print(f"{len(adapters)} adapters are ready; next: {command_for('report', paths)}", soft_wrap=True)
