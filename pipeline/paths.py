"""Where artefacts lie: one attribute per artefact, so that no other module spells a file name of another stage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from common import seals
from common.errors import InputError
from common.files import recover
from common.records import Record, read_record
from common.systems import is_twin

SPLITS = ("train", "validation", "test")
TWIN_SPLITS = "twin"
ANSWER_KEYS = "answer_keys.jsonl"  # in `inputs`, where it is known which answers are right


class _Artifact:
    """An artefact of a profile, by its place below the artefacts' root."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, paths: Paths, owner: type[Paths]) -> Path:
        return paths.root / self.place


@dataclass(frozen=True)
class Paths:
    """The artefacts of one profile. `report` lies under `reports/<profile>` unless --artifacts moved everything."""

    root: Path
    report: Path

    @classmethod
    def of(cls, profile_name: str, artifacts: Path | None = None) -> Paths:
        if artifacts is not None:
            return cls(artifacts, artifacts / "report")
        return cls(Path("artifacts") / profile_name, Path("reports") / profile_name)

    inputs_facts = _Artifact("inputs.json")
    inputs = _Artifact("inputs")
    candidates = _Artifact("candidates.parquet")
    select_facts = _Artifact("select.json")
    embeddings = _Artifact("embeddings.npy")
    embedding_ids = _Artifact("embedding_ids.parquet")
    embed_facts = _Artifact("embed.json")
    clusters = _Artifact("clusters.parquet")
    centroids = _Artifact("centroids.npy")
    umap_picture = _Artifact("umap.png")
    umap_points = _Artifact("umap.parquet")
    cluster_facts = _Artifact("cluster.json")
    splits = _Artifact("splits")
    leakage_facts = _Artifact("leakage.json")
    formatted = _Artifact("formatted")
    format_facts = _Artifact("format.json")
    sweep = _Artifact("sweep")
    scaling = _Artifact("scale")
    reversal = _Artifact("reversal")
    scratch = _Artifact("scratch")
    """Resumable state and caches: never an output of a stage, safe to delete when nothing runs."""

    def adapter(self, method: str) -> Path:
        return self.root / "adapters" / method

    def evaluation(self, system: str) -> Path:
        return self.root / "evaluation" / system

    def tasks(self, system: str) -> Path:
        """Public suites measured by hand: one folder per task."""
        return self.root / "tasks" / system

    def safety(self, system: str) -> Path:
        """Refusals measured by hand."""
        return self.root / "safety" / system


class _Place(Record):
    path: str


class _Dataset(Record):
    source: str | None = None
    files: list[_Place]
    columns: dict[str, str] = {}  # noqa: RUF012  (a pydantic default, copied for each record)


class _Base(_Place):
    source: str | None = None
    sha256: str
    revision: str | None = None


class _InputsFacts(Record):
    """inputs.json."""

    dataset: _Dataset
    encoder: _Place
    base: _Base
    twin: _Base | None = None


@dataclass(frozen=True)
class Base:
    """A base on this machine. revision: the commit, where it came from the hub."""

    folder: Path
    sha256: str
    revision: str | None = None


@dataclass(frozen=True)
class Inputs:
    """What `inputs` resolved: where rows, encoder and base (with its tokenizer) lie on this machine."""

    rows: list[Path]
    columns: dict[str, str]
    encoder: Path
    base: Path
    base_sha256: str
    base_revision: str | None = None
    """The commit, where the base came from the hub."""
    twin: Base | None = None
    """The autoregressive base, where the profile has one."""

    def base_of(self, system: str) -> Base:
        """The base of a system: the twin for `ar-lora`, else the diffusion model.

        Raises:
            InputError: a system of the twin, where there is none.
        """
        if not is_twin(system):
            return Base(self.base, self.base_sha256, self.base_revision)
        if self.twin is None:
            raise InputError(f"--method: {system!r}: the profile has no twin, or `inputs` was run before it had")
        return self.twin


def read_inputs(paths: Paths, base: str | None = None) -> Inputs:
    """Read `inputs.json`; its paths are relative to the artefacts where they lie inside them.

    Args:
        base: the profile's `model.base`, for whoever writes its name down.

    Raises:
        InputError: damaged, or resolved from another base than this one.
    """
    command = command_for("inputs", paths)
    if paths.inputs_facts.is_file():
        seals.check(paths.inputs_facts, paths.inputs_facts, command, strict=True)
    facts = read_record(paths.inputs_facts, _InputsFacts, command)
    if base is not None and facts.base.source not in (None, base):
        raise InputError(f"model.base: {base}, but `inputs` resolved {facts.base.source}; run `{command}` again")
    return Inputs(
        rows=[_present(paths, Path(file.path)) for file in facts.dataset.files],
        columns=facts.dataset.columns,
        encoder=_present(paths, Path(facts.encoder.path)),
        base=_present(paths, Path(facts.base.path)),
        base_sha256=facts.base.sha256,
        base_revision=facts.base.revision,
        twin=None
        if facts.twin is None
        else Base(_present(paths, Path(facts.twin.path)), facts.twin.sha256, facts.twin.revision),
    )


def formatted_for(system: str, formatted: Path) -> Path:
    """The folder of a system's formatted splits: the twin's, in its own chat form, lie in a folder of their own."""
    return formatted / TWIN_SPLITS if is_twin(system) else formatted


def answer_keys(paths: Paths) -> Path | None:
    """The file that says which answers are right, where there is one."""
    place = paths.inputs / ANSWER_KEYS
    return place if place.is_file() else None


def require(path: Path, stage: str, paths: Paths) -> Path:
    """The path, or an error that names the stage which makes it. A folder that a killed run left aside comes back.

    Raises:
        InputError: nothing is there, the facts of the stage or of one before it are not, something else is there than
            the stage wrote, or a stage before it was run again by hand without those that follow (`common.seals`).
    """
    if not path.exists():
        for place in (path, *path.parents):
            if place.is_relative_to(paths.root) and place != paths.root:
                recover(place)
    if not path.exists():
        raise InputError(f"{path}: not there yet; run `{command_for(stage, paths)}` first")
    if stage.startswith("evaluate --method "):  # an adapter's facts are compared by `adapters.lineage`
        facts = paths.evaluation(stage.removeprefix("evaluate --method ")) / "accounting.json"
        seals.check(facts, path, command_for(stage, paths))
    facts_of = facts_of_data_stages(paths)
    if stage in facts_of:
        names = list(facts_of)
        for one in names[: names.index(stage) + 1]:
            command = command_for(one, paths)
            if not os.path.lexists(facts_of[one]):
                raise InputError(f"{facts_of[one]}: missing, so nothing vouches for {path.name}; run `{command}` again")
            seals.check(facts_of[one], path if one == stage else facts_of[one], command, strict=True)
    return path


def facts_of_data_stages(paths: Paths) -> dict[str, Path]:
    """Where each writes down what it read and wrote, in their order."""
    return {
        "inputs": paths.inputs_facts,
        "select": paths.select_facts,
        "embed": paths.embed_facts,
        "cluster": paths.cluster_facts,
        "split": paths.leakage_facts,
        "format": paths.format_facts,
    }


def command_for(stage: str, paths: Paths) -> str:
    """The command that makes a missing artefact, as the user would type it."""
    moved = paths.report == paths.root / "report"
    where = f"--artifacts {paths.root}" if moved else f"--profile {paths.root.name}"
    if stage.startswith("train"):
        return f"accelerate launch train_adapter.py {stage.removeprefix('train').strip()} {where}"
    return f"python -m pipeline {stage} {where}"


def _present(paths: Paths, path: Path) -> Path:
    absolute = path if path.is_absolute() else paths.root / path
    if not absolute.exists() and absolute.parent == paths.inputs:
        recover(absolute)
    if not absolute.exists():
        raise InputError(
            f"{absolute}: named in {paths.inputs_facts} but not there; run `{command_for('inputs', paths)}` again"
        )
    return absolute
