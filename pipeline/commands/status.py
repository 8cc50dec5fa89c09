"""`python -m pipeline status`: which stages are done, stale or missing, what they found, and what to run next.

Done means that a stage's own facts are there. Stale is DVC's word: where the artefacts lie in their default place and
dvc.lock knows them, `dvc status` compares code, settings and inputs with those of the last run. Elsewhere (--artifacts)
the files that the data stages read and wrote are compared with their facts, and so are they during a run of DVC's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common import seals
from common.errors import InputError
from common.files import read_json
from common.systems import is_twin
from common.yaml_text import read_yaml
from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running
from pipeline.paths import Paths, command_for, facts_of_data_stages

if TYPE_CHECKING:
    from pipeline.profile import Profile

State = Literal["done", "stale", "missing"]
DVC_IS_RUNNING = ("Unable to acquire lock", "is busy, it is being blocked by")
STYLES: dict[State, str] = {"done": "green", "stale": "yellow", "missing": "red"}


@dataclass(frozen=True)
class StageStatus:
    """One line of the table."""

    stage: str
    state: State
    facts: str
    reason: str  # why it is stale; empty otherwise
    command: str


@dataclass(frozen=True)
class _Stage:
    name: str
    evidence: Path  # written by the stage; there when it is done
    command: str
    facts: Callable[[Any], str]


def status(profile: ProfileOption = None, overrides: SetOption = None, artifacts: ArtifactsOption = None) -> None:
    """Show which stages are done, stale or missing, and what to run."""
    with running("status", profile, overrides, artifacts) as (settings, paths):
        changed = stale_stages(paths, settings.name)
        stages = stage_states(settings, paths, changed or changed_files(paths))
        show(stages, by_dvc=is_dvc_run(paths, settings.name), running=changed is None)


def stage_states(profile: Profile, paths: Paths, changed: Mapping[str, str]) -> list[StageStatus]:
    """Every stage of the profile in order. changed: what `stale_stages` found.

    Raises:
        InputError: a facts file is damaged.
    """
    return [_status(stage, changed.get(stage.name, "")) for stage in _stages(profile, paths)]


def facts_of(profile: Profile, paths: Paths, stage: str) -> str:
    """What a finished stage found, as the table tells it; empty for one that is not in the table."""
    return next((_status(one, "").facts for one in _stages(profile, paths) if one.name == stage), "")


def next_command(stages: Iterable[StageStatus], by_dvc: bool) -> str | None:
    """What to run next, None when all is done. DVC runs all that is due in order; without it the first one is named."""
    due = [stage for stage in stages if stage.state != "done"]
    if not due:
        return None
    return "dvc repro" if by_dvc else due[0].command


def stale_stages(paths: Paths, profile: str) -> dict[str, str] | None:
    """Stage names of `dvc status` with what changed; empty where DVC has not run these artefacts, None while a run of
    DVC's holds its lock.

    Raises:
        InputError: `dvc status` failed.
    """
    if not is_dvc_run(paths, profile):
        return {}
    command = [shutil.which("dvc") or str(Path(sys.executable).parent / "dvc"), "status", "--json"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        changes: dict[str, Any] = json.loads(result.stdout or "null")
    except (OSError, json.JSONDecodeError):
        changes = {}
        result = None
    if result is not None and result.returncode != 0 and any(word in result.stderr for word in DVC_IS_RUNNING):
        return None
    if result is None or result.returncode != 0:
        words = (result.stderr if result else "").strip().splitlines()
        raise InputError(f"`dvc status` failed{': ' + words[-1] if words else ''}; run it by itself to see why")
    return {stage: _reason(entries) for stage, entries in changes.items()}


def changed_files(paths: Paths) -> dict[str, str]:
    """Data stages that read or wrote a file which is another now, with the first such files; rows of the user's too."""
    changed = {}
    for stage, facts in facts_of_data_stages(paths).items():
        if facts.is_file():
            recorded = seals.recorded_in(facts, command_for(stage, paths))
            if names := list(seals.differing(facts.parent, recorded.read | recorded.wrote)):
                changed[stage] = _first_names(names)
    return changed


def is_dvc_run(paths: Paths, profile: str) -> bool:
    """Do these artefacts belong to the graph in this folder: dvc.lock is there and names them?"""
    lock = Path("dvc.lock")
    default = Paths.of(profile)
    return paths == default and lock.is_file() and f"path: {default.root}/" in lock.read_text(encoding="utf-8")


def _reason(entries: list[Any]) -> str:
    """The names of what changed, from the nested lists of `dvc status --json`."""
    names: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            names.append(entry)
            continue
        for kind, items in entry.items():
            for name, change in items.items() if isinstance(items, dict) else ():
                if name.startswith("configs/"):
                    names += change if isinstance(change, dict) else [name]
                elif kind == "changed outs" or name.startswith(("artifacts/", "reports/")):
                    names.append(f"{name} {change}")
                else:
                    names.append(name)
    return _first_names(names)


def _first_names(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _status(stage: _Stage, reason: str) -> StageStatus:
    if not stage.evidence.is_file():
        return StageStatus(stage.name, "missing", "", "", stage.command)
    cure = stage.command
    content = read_json(stage.evidence, made_by=cure)
    try:
        facts = stage.facts(content)
    except (KeyError, TypeError, IndexError):
        raise InputError(f"{stage.evidence}: not what the stage {stage.name} writes; run `{cure}` again") from None
    return StageStatus(stage.name, "stale" if reason else "done", facts, reason, cure)


def _stages(profile: Profile, paths: Paths) -> list[_Stage]:
    where = f"--artifacts {paths.root}" if paths != Paths.of(profile.name) else f"--profile {profile.name}"

    def command(words: str) -> str:
        return f"python -m pipeline {words} {where}"

    data = [
        _Stage("inputs", paths.inputs_facts, command("inputs"), _inputs),
        _Stage("select", paths.select_facts, command("select"), _select),
        _Stage("embed", paths.embed_facts, command("embed"), lambda facts: f"{facts['rows']:,} x {facts['dimension']}"),
        _Stage("cluster", paths.cluster_facts, command("cluster"), _cluster),
        _Stage("split", paths.leakage_facts, command("split"), _split),
        _Stage("format", paths.format_facts, command("format"), _format),
    ]
    methods = _methods(profile, paths)
    for name in methods:
        launch = f"accelerate launch train_adapter.py --method {name} {where}"
        data.append(_Stage(f"train@{name}", paths.adapter(name) / "run.json", launch, _train))
    twin = ("ar-base",) if profile.twin is not None and any(map(is_twin, methods)) else ()
    for name in ("base", *twin, *methods):
        evidence = paths.evaluation(name) / "metrics.json"
        data.append(_Stage(f"evaluate@{name}", evidence, command(f"evaluate --method {name}"), _evaluate))
    evidence = paths.report / "metrics" / "base.json"
    page = paths.report / "index.html"
    data.append(_Stage("report", evidence, command("report"), lambda _: str(page)))
    return data


def _methods(profile: Profile, paths: Paths) -> list[str]:
    """The methods to be trained: where DVC's artefacts lie those that params.yaml lists, elsewhere all of the profile;
    and besides those that were trained by hand.
    """
    listed: Any = None
    params = Path("params.yaml")
    if paths == Paths.of(profile.name) and params.is_file():
        values = read_yaml(params)
        listed = values.get("methods") if isinstance(values, dict) else None
    wanted = listed if isinstance(listed, list) else list(profile.methods)
    return [name for name in profile.methods if name in wanted or (paths.adapter(name) / "run.json").is_file()]


def _inputs(facts: Any) -> str:
    dataset, base = facts["dataset"], facts["base"]
    return f"{len(dataset['files'])} files of {dataset['source']}; base {base['source']} {base['sha256'][:8]}"


def _select(facts: Any) -> str:
    total = facts["total"]
    return f"{total['sampled']:,} of {total['rows']:,} rows"


def _cluster(facts: Any) -> str:
    sizes = [entry["rows"] for entry in facts["clusters"]]
    return f"{len(sizes)} clusters of {min(sizes):,} to {max(sizes):,} rows"


def _split(facts: Any) -> str:
    rows = facts["rows"]
    leaks = sum(side["any"] for side in facts["after"].values())
    return f"{rows['train']:,} / {rows['validation']:,} / {rows['test']:,} rows, {leaks} leaks"


def _format(facts: Any) -> str:
    train = facts["splits"]["train"]
    return f"{train['total_tokens']:,} training tokens, the longest row {train['tokens']['max']}"


def _train(facts: Any) -> str:
    best = facts["validation"]["best"]
    return f"bound {best['loss']:.3f} (from {facts['validation']['first']['loss']:.3f}), {facts['steps']:,} steps"


def _evaluate(facts: Any) -> str:
    metrics = facts["metrics"]
    bound, chrf = metrics["bound_per_token"], metrics["chrf"]
    return (
        f"bound {bound['value']:.3f} ({bound['low']:.3f} to {bound['high']:.3f}), chrF++ {chrf['value']:.1f}, "
        f"{facts['n']} items"
    )


def show(stages: list[StageStatus], by_dvc: bool, running: bool = False) -> None:
    """Print the table and the next command. running: another process's DVC is at work."""
    from rich.table import Table
    from rich.text import Text

    from common.progress import plain_console

    console = plain_console()
    grid = Table("stage", "state", "facts")
    for stage in stages:
        told = f"{stage.facts}\nchanged: {stage.reason}" if stage.reason else stage.facts
        grid.add_row(stage.stage, Text(stage.state, style=STYLES[stage.state]), told)
    console.print(grid)
    if running:
        console.print("a run of DVC's is in progress: staleness is not known until it ends")
        return
    if not by_dvc:
        words = (
            "only files are compared, not code and settings: `dvc repro` did not make these artefacts in this folder"
        )
        console.print(words, soft_wrap=True)
    command = next_command(stages, by_dvc)
    console.print(f"next: {command}" if command else "everything is done", soft_wrap=True)
