"""Unfinished runs beside the one that is asked for: the same adapter with something changed, so that they cannot be
continued. What differs is said, because hours of work may lie there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import read_json
from training.plan import TrainingPlan
from training.run.checkpoint import list_checkpoints
from training.run.interrupts import run_lock

FACTS = "settings.json"
SHOWN = 4  # differences that are named


@dataclass(frozen=True)
class Unfinished:
    """A run of the same adapter with checkpoints that the plan cannot continue."""

    folder: Path
    step: int
    differences: list[str]

    def sentence(self, plan: TrainingPlan) -> str:
        named = ", ".join(self.differences[:SHOWN])
        more = f" and {len(self.differences) - SHOWN} more" if len(self.differences) > SHOWN else ""
        return (
            f"{plan.method_name}: starting anew; a run that stopped after step {self.step} cannot be continued: {named}"
            f"{more}. It stays in {self.folder}; take the change back to continue it, --fresh removes it"
        )


def facts(plan: TrainingPlan) -> dict[str, Any]:
    """What is noted in a run's folder: whose run it is, and what it depends on."""
    return {"output": str(plan.output.absolute())} | plan.ingredients


def unfinished_runs(plan: TrainingPlan) -> list[Unfinished]:
    """Other runs of this adapter that left a checkpoint, the most advanced first."""
    now = facts(plan)
    runs = []
    for folder, then in _runs_of(plan):
        steps = list_checkpoints(folder)
        if steps and folder != plan.run_folder:
            runs.append(Unfinished(folder, steps[0][0], list(differences(then, now))))
    return sorted(runs, key=lambda run: -run.step)


def remove_runs(plan: TrainingPlan) -> None:
    """Remove the checkpoints of every run of this adapter. The caller holds the lock of the plan's own run.

    Raises:
        InputError: another process is training one of them.
    """
    for folder, _ in _runs_of(plan):
        if folder == plan.run_folder:
            for _, checkpoint in list_checkpoints(folder):
                shutil.rmtree(checkpoint)
        else:
            with run_lock(folder, patience=0):
                shutil.rmtree(folder)


def differences(then: Any, now: Any, name: str = "") -> Iterator[str]:
    """`train.epochs 1.0 there, 2.0 now` for every value that differs; of hashes the name alone."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            yield from differences(then.get(key), now.get(key), f"{name}.{key}" if name else str(key))
    elif then != now:
        hashed = any(isinstance(value, str) and len(value) == 64 for value in (then, now))
        yield f"{name} differs" if hashed else f"{name} {_short(then)} there, {_short(now)} now"


def _runs_of(plan: TrainingPlan) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Run folders of the plan's method whose notes name the plan's output."""
    output = str(plan.output.absolute())
    for folder in sorted(plan.run_folder.parent.glob(f"{plan.method_name}-*")):
        try:
            then = read_json(folder / FACTS)
        except (InputError, OSError):
            continue
        if isinstance(then, dict) and then.get("output") == output:
            yield folder, then


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
