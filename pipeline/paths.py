"""Where artefacts lie: one property per artefact, so that no other module spells a file name of another stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
