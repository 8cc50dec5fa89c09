"""Every stage of the graph at toy size, run for real: rows, vectors, clusters, an adapter of two steps, a report.

world = WholeWorld.at(folder)
world.run("train")        # again, as each of STAGES
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pipeline.paths import Paths
from pipeline.profile import load_profile
from tests.support.cendol_rows import write_encoder
from tests.support.faults.artefacts import SETTINGS, World

SYSTEM = "lora"
STAGES = ("select", "embed", "cluster", "split", "format", "train", "evaluate", "sweep", "report")
SMALL = (
    *SETTINGS, "data.umap_sample=20", "methods={lora: {rank: 2, targets: [q_proj]}}", "train.max_steps=2",
    "train.global_batch_size=4", "train.micro_batch_size=4", "train.validate_every=1", "train.checkpoint_every=1",
    "train.log_every=1", "train.validation_rows=4", "train.validation_draws=1", "sampling.gen_length=8",
    "sampling.steps=2", "evaluation.likelihood_samples=2", "evaluation.bootstrap_resamples=100",
    "evaluation.permutations=100", "evaluation.trace_items=1", "evaluation.batch_size=8",
)  # fmt: skip


@dataclass(frozen=True)
class WholeWorld(World):
    """The artefacts of a whole run, and the profile that they were made with."""

    @classmethod
    def at(cls, folder: Path) -> WholeWorld:
        world = cls.in_folder(folder)
        world._write_inputs(write_encoder(world.paths.inputs / "encoder"))
        for stage in STAGES:
            if stage == "evaluate":
                world.evaluate("base")
            world.run(stage)
        return world

    @classmethod
    def in_folder(cls, folder: Path) -> WholeWorld:
        """Of a folder that holds one already."""
        return cls(Paths.of("mini", folder / "run"), folder / "planted", load_profile("mini", SMALL))

    def run(self, stage: str) -> None:
        """Run a stage, or the sweep of two learning rates."""
        if stage == "evaluate":
            self.evaluate(SYSTEM)
        elif stage == "train":
            import_module("pipeline.stages.train").run(self.profile, self.paths, SYSTEM, on_cpu=True)
        elif stage == "sweep":
            self._sweep()
        else:
            super().run(stage)

    def evaluate(self, system: str) -> None:
        import_module("pipeline.stages.evaluate").run(self.profile, self.paths, system)

    def _sweep(self) -> None:
        from experiments.sweep import sweep
        from pipeline.stages.train import training_plan
        from training.trainer import train

        plan = training_plan(self.profile, self.paths, SYSTEM)
        sweep([plan], [1e-3, 2e-3], [1], self.paths.sweep, train)

    def outputs(self, stage: str) -> list[Path]:
        """What a stage makes."""
        paths = self.paths
        return {
            "select": [paths.candidates, paths.select_facts],
            "embed": [paths.embeddings, paths.embedding_ids, paths.embed_facts],
            "cluster": [
                paths.clusters, paths.centroids, paths.umap_picture, paths.umap_points, paths.cluster_facts,
            ],
            "split": [paths.splits, paths.leakage_facts],
            "format": [paths.formatted, paths.format_facts],
            "train": [paths.adapter(SYSTEM)],
            "evaluate": [paths.evaluation(SYSTEM)],
            "report": [paths.report],
            "sweep": [paths.sweep],
        }[stage]  # fmt: skip


OF_A_RUN = {"run.json", "README.md", "accounting.json", "sweep.json", "sweep.png", "settings.json"}
"""Files that hold how long something took, or where: another run writes other bytes."""
