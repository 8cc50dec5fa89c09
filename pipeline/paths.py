"""Where artefacts lie: one property per artefact, so that no other module spells a file name of another stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.files import read_json

SPLITS = ("train", "validation", "test")


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

    @property
    def inputs_facts(self) -> Path:
        return self.root / "inputs.json"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def candidates(self) -> Path:
        return self.root / "candidates.parquet"

    @property
    def select_facts(self) -> Path:
        return self.root / "select.json"

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings.npy"

    @property
    def embedding_ids(self) -> Path:
        return self.root / "embedding_ids.parquet"

    @property
    def embed_facts(self) -> Path:
        return self.root / "embed.json"

    @property
    def clusters(self) -> Path:
        return self.root / "clusters.parquet"

    @property
    def centroids(self) -> Path:
        return self.root / "centroids.npy"

    @property
    def umap_picture(self) -> Path:
        return self.root / "umap.png"

    @property
    def umap_points(self) -> Path:
        return self.root / "umap.parquet"

    @property
    def cluster_facts(self) -> Path:
        return self.root / "cluster.json"

    @property
    def splits(self) -> Path:
        return self.root / "splits"

    @property
    def leakage_facts(self) -> Path:
        return self.root / "leakage.json"

    @property
    def formatted(self) -> Path:
        return self.root / "formatted"

    @property
    def format_facts(self) -> Path:
        return self.root / "format.json"

    def adapter(self, method: str) -> Path:
        return self.root / "adapters" / method

    def evaluation(self, system: str) -> Path:
        return self.root / "evaluation" / system

    @property
    def sweep(self) -> Path:
        return self.root / "sweep"

    @property
    def scratch(self) -> Path:
        """Resumable state and caches: never an output of a stage, safe to delete when nothing runs."""
        return self.root / "scratch"


@dataclass(frozen=True)
class Inputs:
    """What `inputs` resolved: where rows, encoder and base (with its tokenizer) lie on this machine."""

    rows: list[Path]
    columns: dict[str, str]
    encoder: Path
    base: Path
    base_sha256: str


def read_inputs(paths: Paths) -> Inputs:
    """Read `inputs.json`; its paths are relative to the artefacts where they lie inside them."""
    facts = read_json(paths.inputs_facts, made_by=command_for("inputs", paths))
    return Inputs(
        rows=[_present(paths, Path(file["path"])) for file in facts["dataset"]["files"]],
        columns=facts["dataset"].get("columns", {}),
        encoder=_present(paths, Path(facts["encoder"]["path"])),
        base=_present(paths, Path(facts["base"]["path"])),
        base_sha256=facts["base"]["sha256"],
    )


def require(path: Path, stage: str, paths: Paths) -> Path:
    """The path, or an error that names the stage which makes it."""
    if not path.exists():
        raise InputError(f"{path}: not there yet; run `{command_for(stage, paths)}` first")
    return path


def command_for(stage: str, paths: Paths) -> str:
    """The command that makes a missing artefact, as the user would type it."""
    moved = paths.report == paths.root / "report"
    where = f"--artifacts {paths.root}" if moved else f"--profile {paths.root.name}"
    if stage.startswith("train"):
        return f"accelerate launch train_adapter.py {stage.removeprefix('train').strip()} {where}"
    return f"python -m pipeline {stage} {where}"


def _present(paths: Paths, path: Path) -> Path:
    absolute = path if path.is_absolute() else paths.root / path
    if not absolute.exists():
        raise InputError(
            f"{absolute}: named in {paths.inputs_facts} but not there; run `{command_for('inputs', paths)}` again"
        )
    return absolute
