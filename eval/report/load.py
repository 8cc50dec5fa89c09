"""Read what the evaluate and train stages wrote, for the report and the cards."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adapters.lineage import RETRAIN
from adapters.naming import AdapterName
from common import seals
from common.errors import InputError
from common.files import read_json_lines, sha256_of_file
from common.records import as_record, read_record
from eval.metrics.definitions import ACCURACY, HEADLINE, METRICS
from eval.metrics.scoring import SCHEMA_VERSION
from eval.metrics.statistics import Array, counted
from eval.report.labels import system_title
from eval.report.pooled_seeds import pooled_scores
from eval.report.records.by_hand import HandRunTask, Refusals
from eval.report.records.made import Run
from eval.report.records.measured import Accounting, Item, Metrics, Trace
from eval.report.records.values import LARGEST

ENGLISH = ("english", "english_file")  # what is measured of English: the built-in sample, and a file


@dataclass(frozen=True)
class System:
    """Everything known about one system; `run` and `curve` are empty for the base.

    others: the same method trained with other seeds. left_out: why further ones are not among them. by_hand: results of
    `python -m pipeline tasks`, by the task's name. refusals: the result of `python -m pipeline safety`.
    """

    name: str
    metrics: dict[str, Any]
    items: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    accounting: dict[str, Any]
    run: dict[str, Any]
    curve: list[dict[str, float | None]]
    adapter_sha256: str | None
    others: tuple[System, ...] = ()
    left_out: tuple[str, ...] = ()
    by_hand: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        return system_title(self.name)

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Results on public suites by name: of the stage `evaluate`, and those measured by hand besides."""
        measured = self.metrics.get("tasks", {})
        return measured | {name: result for name, result in self.by_hand.items() if name not in measured}

    @property
    def trainings(self) -> dict[int, System]:
        """This system and the others by training seed; its own seed, where the name has none, is the profile's."""
        own = int(self.metrics["settings"]["seed"])
        seeds = ((one, AdapterName.parse(one.name).seed) for one in (self, *self.others))
        return {own if seed is None else seed: one for one, seed in seeds}

    @cached_property
    def scores(self) -> dict[str, dict[str, Any]]:
        """Per metric `{value, low, high, n}`: of this training, or of all of them where there are several."""
        if not self.others:
            return self.metrics["metrics"]
        every = (self, *self.others)
        return pooled_scores([one.metrics["metrics"] for one in every], [one.statistics for one in every])

    @cached_property
    def statistics(self) -> dict[str, Array]:
        """Sufficient statistics per metric, (n, K), rows in the order of the test split; of the accuracy without the
        items that count in none.
        """
        rows = {key: [item["statistics"][key] for item in self.items] for key in self.items[0]["statistics"]}
        arrays = {key: np.array(one, dtype=np.float64) for key, one in rows.items()}
        return arrays | ({ACCURACY: counted(arrays[ACCURACY])} if ACCURACY in arrays else {})

    def runs(self, key: str, seeds: Iterable[int]) -> Array:
        """Sufficient statistics of a metric by training seed, (S, n, K); the base is the same at every seed."""
        trainings = self.trainings
        return np.stack([trainings.get(seed, self).statistics[key] for seed in seeds])

    def value(self, key: str) -> float | None:
        entry = self.scores.get(key)
        return None if entry is None else entry["value"]


def read_system(
    name: str, evaluation: Path, adapter: Path | None, tasks: Path | None = None, safety: Path | None = None
) -> System:
    """Read one system's folders. tasks, safety: of what was measured by hand.

    Raises:
        InputError: a file is missing or damaged, or was written by another version of the schema.
    """
    command = f"python -m pipeline evaluate --method {name}"
    path = evaluation / "metrics.json"
    metrics = read_checked(path, dict[str, Any], command)
    if metrics.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version is {metrics.get('schema_version')!r}, expected {SCHEMA_VERSION}; "
            f"run `{command}` again"
        )
    as_record(path, metrics, Metrics, command)
    seals.check(evaluation / "accounting.json", evaluation, command)
    weights = None if adapter is None else adapter / "adapter_model.safetensors"
    items = read_items(evaluation, metrics["n"], command)
    checked = sum(item["statistics"].get(ACCURACY, (0, 0))[1] > 0 for item in items)
    if checked != metrics["metrics"].get(ACCURACY, {"n": 0})["n"]:
        raise InputError(f"{evaluation}: items.jsonl and metrics.json differ in accuracy; run `{command}`")
    sha256 = sha256_of_file(weights) if weights is not None and weights.is_file() else None
    accounting = read_checked(evaluation / "accounting.json", Accounting, command)
    if accounting.get("measured", {}).get("adapter_sha256", sha256) != sha256:
        raise InputError(f"{evaluation}: measured another adapter than {weights} is now; run `{command}` again")
    return System(
        name=name,
        metrics=metrics,
        items=items,
        trace=read_checked(evaluation / "trace.json", Trace, command)["items"],
        accounting=accounting,
        run=read_checked(adapter / "run.json", Run, RETRAIN) if adapter and (adapter / "run.json").is_file() else {},
        curve=read_curve(adapter / "curve.csv") if adapter and (adapter / "curve.csv").is_file() else [],
        adapter_sha256=sha256,
        by_hand=read_hand_run(name, tasks, sha256) if tasks is not None and tasks.is_dir() else {},
        refusals=read_refusals(name, safety, sha256) if safety is not None and safety.is_dir() else None,
    )


def read_hand_run(system: str, folder: Path, adapter_sha256: str | None) -> dict[str, dict[str, Any]]:
    """Results of `python -m pipeline tasks` by the task's name.

    Raises:
        InputError: a file is damaged, or was measured with another adapter than the one that is there now.
    """
    found = {}
    for path in sorted(folder.glob("*/result.json")):
        command = f"python -m pipeline tasks --method {system}"
        result = _of_this_adapter(path, HandRunTask, command, adapter_sha256, "its suite")
        found[result["name"]] = result
    return found


def read_refusals(system: str, folder: Path, adapter_sha256: str | None) -> dict[str, Any]:
    """The result of `python -m pipeline safety`; raises InputError as `read_hand_run` does."""
    command = f"python -m pipeline safety --method {system}"
    return _of_this_adapter(folder / "result.json", Refusals, command, adapter_sha256, "its file")


def _of_this_adapter(path: Path, kind: Any, command: str, adapter_sha256: str | None, needs: str) -> dict[str, Any]:
    result = read_checked(path, kind, command)
    if adapter_sha256 is not None and result["adapter_sha256"] != adapter_sha256:
        raise InputError(
            f"{path}: measured with another adapter than the one in its folder now; run `{command}` with {needs} "
            "again, or remove the folder"
        )
    return result


def read_checked(path: Path, kind: Any, made_by: str) -> Any:
    """A JSON file as it stands, once it is known to hold what `kind` wants; InputError otherwise."""
    content = read_record(path, Any, made_by)  # type: ignore[arg-type]
    as_record(path, content, kind, made_by)
    return content


def read_items(evaluation: Path, count: int, made_by: str) -> list[dict[str, Any]]:
    """The rows of items.jsonl, whose statistics are of one form; InputError otherwise."""
    path = evaluation / "items.jsonl"
    try:
        items = read_json_lines(path, made_by)
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; run `{made_by}`") from None
    as_record(path, items, list[Item], made_by)
    if len(items) != count:
        raise InputError(f"{evaluation}: items.jsonl has {len(items)} rows, metrics.json says {count}; run `{made_by}`")
    forms = {tuple((key, len(row)) for key, row in sorted(item["statistics"].items())) for item in items}
    first = items[0]["statistics"]
    if len(forms) > 1 or not set(HEADLINE) <= first.keys() <= METRICS.keys() or not _reducible(items):
        raise InputError(f"{path}: statistics are not those of the metrics; run `{made_by}`")
    return items


def _reducible(items: Sequence[dict[str, Any]]) -> bool:
    try:
        with np.errstate(all="raise"):
            for key in items[0]["statistics"]:
                rows = np.array([item["statistics"][key] for item in items], dtype=np.float64)
                if rows.shape[1] < 2 or not np.isfinite(METRICS[key].reduce(rows.sum(axis=0))):
                    return False
    except (IndexError, ValueError, FloatingPointError):
        return False
    return True


def read_systems(
    evaluations: dict[str, Path],
    adapters: dict[str, Path],
    tasks: dict[str, Path] | None = None,
    safety: dict[str, Path] | None = None,
) -> list[System]:
    """All systems, which must have been measured on the same items in the same order. Adapters of other training seeds
    (`lora-seed2`) become `others` of their method's system.

    Raises:
        InputError: other items; other training seeds of a method whose own adapter was not evaluated; or what
        `read_system` raises.
    """
    suites, refusals = tasks or {}, safety or {}
    read = [
        read_system(name, folder, adapters.get(name), suites.get(name), refusals.get(name))
        for name, folder in evaluations.items()
    ]
    systems = [system for system in read if AdapterName.parse(system.name).seed is None]
    for system in systems[1:]:
        if _ids(system) != _ids(systems[0]):
            raise InputError(
                f"{evaluations[system.name]}: measured on other test items than {evaluations[systems[0].name]}; "
                f"run `python -m pipeline evaluate --method {system.name}` again"
            )
        if _form(system) != _form(systems[0]):
            raise InputError(
                f"{evaluations[system.name]}: not of the form of {evaluations[systems[0].name]}; "
                f"run `python -m pipeline evaluate --method {system.name}` again"
            )
    seeded = [system for system in read if AdapterName.parse(system.name).seed is not None]
    known = {system.name for system in systems}
    for system in seeded:
        method = AdapterName.parse(system.name).method
        if method not in known:
            raise InputError(
                f"{evaluations[system.name]}: there is no evaluation of {method} beside it; "
                f"run `python -m pipeline evaluate --method {method}` first"
            )
    return [_with_trainings(system, seeded) for system in systems]


def check_same_items(systems: Sequence[System], twins: Sequence[System]) -> None:
    """Raises InputError where the twin was measured on other test items than the diffusion systems."""
    for twin in twins:
        if _ids(twin) != _ids(systems[0]):
            raise InputError(
                f"{twin.name}: measured on other test items than {systems[0].name}; "
                f"run `python -m pipeline evaluate --method {twin.name}` again"
            )


def _with_trainings(system: System, seeded: Sequence[System]) -> System:
    """The system with its other trainings. One that differs in more than the seed is left out, and it is said why: an
    older run must not stop a report that it has no part in.
    """
    own = [one for one in seeded if AdapterName.parse(one.name).method == system.name]
    reasons = {one.name: _difference(system, one) for one in own}
    return replace(
        system,
        others=tuple(one for one in own if reasons[one.name] is None),
        left_out=tuple(f"{one.title}, is left out: {reasons[one.name]}." for one in own if reasons[one.name]),
    )


def _difference(system: System, other: System) -> str | None:
    """What differs besides the training seed, None where nothing does."""
    checks = (
        (_ids, "it was measured on other test items"),
        (_form, "it was measured in another form"),
        (lambda one: one.metrics["settings"], "it was measured with other settings"),
        (lambda one: (one.metrics["signatures"], set(one.metrics["metrics"])), "it was measured with other versions"),
        (lambda one: one.run.get("settings"), "it was trained with other settings"),
        (
            lambda one: [one.run.get(part, {}).get("sha256") for part in ("data", "base")],
            "it was trained on other data",
        ),
    )
    return next((words for part, words in checks if part(system) != part(other)), None)


def _form(system: System) -> tuple[Any, ...]:
    """What must agree for systems to be shown side by side."""
    metrics = system.metrics
    return (
        {kind: set(groups or ()) for kind, groups in metrics["groups"].items()},
        {key: len(row) for key, row in system.items[0]["statistics"].items()},
        [(item.get("kind"), item.get("right") is None) for item in system.items],
        [level["mask_share"] for level in metrics.get("noise_levels", [])],
        [entry["budget"] for entry in metrics.get("eos_overflow", [])],
        *(len((metrics.get(key) or {}).get("statistics", {}).get("bound_per_token", [])) for key in ENGLISH),
        len(system.trace),
    )


def _ids(system: System) -> list[str]:
    return [item["id"] for item in system.items]


def read_curve(path: Path) -> list[dict[str, float | None]]:
    """Rows of curve.csv as finite numbers; blank cells are None.

    Raises:
        InputError: the file holds something else.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode())))
        curve = [{key: float(cell) if cell else None for key, cell in row.items()} for row in rows]
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of numbers ({error}); run `{RETRAIN}`") from None
    cells = [cell for row in curve for cell in row.values() if cell is not None]
    if any(row.get("step") is None for row in curve) or not all(abs(cell) <= LARGEST for cell in cells):
        raise InputError(f"{path}: a row without its step, or a number that is not finite; run `{RETRAIN}`")
    return curve
