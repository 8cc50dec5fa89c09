"""Read what the evaluate and train stages wrote, for the report and the cards."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.files import read_json, read_json_lines, sha256_of_file
from eval.scoring import SCHEMA_VERSION
from eval.statistics import Array

TITLES = {
    "base": "Base",
    "lora": "LoRA",
    "loraplus": "LoRA+",
    "pissa": "PiSSA",
    "rslora": "rsLoRA",
    "dora": "DoRA",
    "loraplus_pissa": "LoRA+ on PiSSA",
}


@dataclass(frozen=True)
class System:
    """Everything known about one system; `run` and `curve` are empty for the base."""

    name: str
    metrics: dict[str, Any]
    items: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    accounting: dict[str, Any]
    run: dict[str, Any]
    curve: list[dict[str, float | None]]
    adapter_sha256: str | None

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name)

    @cached_property
    def statistics(self) -> dict[str, Array]:
        """Sufficient statistics per metric, (n, K), rows in the order of the test split."""
        keys = self.items[0]["statistics"]
        return {key: np.array([item["statistics"][key] for item in self.items], dtype=np.float64) for key in keys}

    def value(self, key: str) -> float | None:
        found = self.metrics["metrics"].get(key)
        return None if found is None else found["value"]


def read_system(name: str, evaluation: Path, adapter: Path | None) -> System:
    """Read one system's folders.

    Raises:
        InputError: a file is missing or damaged, or was written by another version of the schema.
    """
    command = f"python -m pipeline evaluate --method {name}"
    metrics = read_json(evaluation / "metrics.json", made_by=command)
    if metrics.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{evaluation / 'metrics.json'}: schema_version is {metrics.get('schema_version')!r}, expected "
            f"{SCHEMA_VERSION}; run `{command}` again"
        )
    items = read_json_lines(evaluation / "items.jsonl", made_by=command)
    if len(items) != metrics["n"]:
        raise InputError(
            f"{evaluation}: items.jsonl has {len(items)} rows, metrics.json says {metrics['n']}; run `{command}`"
        )
    weights = None if adapter is None else adapter / "adapter_model.safetensors"
    return System(
        name=name,
        metrics=metrics,
        items=items,
        trace=read_json(evaluation / "trace.json", made_by=command)["items"],
        accounting=read_json(evaluation / "accounting.json", made_by=command),
        run=read_json(adapter / "run.json") if adapter and (adapter / "run.json").is_file() else {},
        curve=read_curve(adapter / "curve.csv") if adapter and (adapter / "curve.csv").is_file() else [],
        adapter_sha256=sha256_of_file(weights) if weights is not None and weights.is_file() else None,
    )


def read_systems(evaluations: dict[str, Path], adapters: dict[str, Path]) -> list[System]:
    """All systems, which must have been measured on the same items in the same order."""
    systems = [read_system(name, folder, adapters.get(name)) for name, folder in evaluations.items()]
    ids = [item["id"] for item in systems[0].items]
    for system in systems[1:]:
        if [item["id"] for item in system.items] != ids:
            raise InputError(
                f"{evaluations[system.name]}: measured on other test items than {evaluations[systems[0].name]}; "
                f"run `python -m pipeline evaluate --method {system.name}` again"
            )
    return systems


def read_curve(path: Path) -> list[dict[str, float | None]]:
    """Rows of curve.csv as numbers; blank cells are None."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [{key: float(cell) if cell else None for key, cell in row.items()} for row in csv.DictReader(stream)]
