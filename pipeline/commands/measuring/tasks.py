"""`python -m pipeline tasks`: public test suites on the base or an adapter, beside what `evaluate` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import InputError
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running, taking_turns, values

if TYPE_CHECKING:
    from eval.config import TaskConfig
    from pipeline.paths import Paths
    from pipeline.profile import Profile


def tasks(
    methods: Annotated[str, typer.Option("--method", metavar="M[,M2]", help="base, or adapters; several with commas.")],
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="NAME", help="copal, indommlu, indoculture ...; without it evaluation.tasks."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="The suite's file, as published.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="What the report calls it.")] = None,
    shots: Annotated[int, typer.Option("--shots", metavar="K", help="Answered examples per question, 0 to 5.")] = 0,
    shots_file: Annotated[
        Path | None, typer.Option("--shots-file", metavar="FILE", help="Examples; default: the suite's few-shot rows.")
    ] = None,
    scoring: Annotated[
        str, typer.Option("--scoring", metavar="S[,S2]", help="likelihood, letter, revealing.")
    ] = "likelihood,letter,revealing",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="The first N questions.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Score public test suites; resumable per question.

    Results join the next report.
    """
    with running("tasks", profile, overrides, artifacts) as (settings, paths):
        configs = list(settings.evaluation.tasks)
        if suite is not None or file is not None:
            scorings = values("--scoring", scoring, str)
            named = name or suite or "tasks"
            configs = [task_of(named, suite, file, shots=shots, shots_file=shots_file, scorings=scorings, limit=limit)]
        if not configs:
            raise InputError("tasks: name a suite and its file (--suite, --file), or write evaluation.tasks")
        systems = values("--method", methods, str)
        for system in systems:
            if system != "base":
                settings.method(system)
        for system in systems:
            with taking_turns(f"tasks-{system}", paths):
                measure(settings, paths, system, configs)


def task_of(name: str, suite: str | None, file: Path | None, **options: Any) -> TaskConfig:
    """The options as a task; each value that is not allowed is named with its option."""
    from pydantic import ValidationError

    from eval.config import TaskConfig

    if suite is None or file is None:
        raise InputError("tasks: --suite and --file go together")
    paths = {"file": str(file), "shots_file": str(options.pop("shots_file")) if options["shots_file"] else None}
    try:
        return TaskConfig.model_validate({"name": name, "kind": suite, **paths, **options})
    except ValidationError as error:
        spelt = {"kind": "--suite", "scorings": "--scoring", "shots_file": "--shots-file"}
        faults = [
            f"{spelt.get(str(one['loc'][0]), '--' + str(one['loc'][0]))} {one['input']}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise InputError(faults) from None


def measure(profile: Profile, paths: Paths, system: str, configs: list[TaskConfig]) -> None:
    """Score every task under one system and write `tasks/<system>/<name>/`."""
    from adapters.lineage import check_base
    from common.files import atomic_folder, sha256_of_file, write_json, write_json_lines
    from eval.measure.evaluate import load_system
    from eval.suites.run import run_task
    from eval.suites.samples import harness_samples
    from eval.suites.task import read_task
    from pipeline.paths import read_inputs, require

    read = [read_task(config, "tasks") for config in configs]
    adapter = None if system == "base" else paths.adapter(system)
    if adapter is not None:
        require(adapter / "adapter_config.json", f"train --method {system}", paths)
    resolved = read_inputs(paths)
    if adapter is not None:
        check_base(adapter, resolved.base, resolved.base_sha256)
    about = [
        resolved.base_sha256,
        None if adapter is None else sha256_of_file(adapter / "adapter_model.safetensors"),
        profile.model.model_dump(mode="json"),
    ]
    network, tokenizer = load_system(profile.model, resolved.base, adapter)
    samples, seed = profile.evaluation.likelihood_samples, profile.seed
    for task in read:
        journal = paths.scratch / "tasks" / system
        outcome = run_task(network, tokenizer, task, samples=samples, seed=seed, journal=journal, about=about)
        settings = {"seed": seed, "likelihood_samples": samples, **task.config.model_dump(mode="json")}
        with atomic_folder(paths.tasks(system) / file_name(task.config.name)) as folder:
            result = {"name": task.config.name, "system": system, **outcome.result, "settings": settings}
            write_json(folder / "result.json", result | {"adapter_sha256": about[1]})
            for one in task.config.scorings:
                write_json_lines(folder / f"samples_{one}.jsonl", harness_samples(task, outcome, one))
        print(f"{paths.tasks(system) / file_name(task.config.name)}: {told(outcome.result)}")


def file_name(name: str) -> str:
    """A task's name as a folder's: what is no letter, digit, dot or hyphen becomes an underscore."""
    return "".join(char if char.isalnum() or char in ".-" else "_" for char in name).lstrip(".") or "_"


def told(result: dict[str, Any]) -> str:
    from eval.suites.results import READINGS

    shares = [
        f"{reading.label.lower()} {100 * one['value']:.1f}%"
        + ("" if one["low"] is None else f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]")
        for key, reading in READINGS.items()
        if (one := result.get(key))
    ]
    groups = result["groups"]
    spread = f"; intervals over {groups['count']} groups by {groups['by']}" if groups else ""
    return f"{', '.join(shares)}; chance {100 * result['chance']:.1f}%, n = {result['n']}{spread}"
