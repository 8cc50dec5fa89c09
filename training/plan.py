"""What is to be trained: one typed record from which every training starts, and what follows from it alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from adapters.config import MethodConfig, ModelConfig
from adapters.methods import Method, method_named
from common.files import read_json
from common.progress import console
from training.batching import Rows, read_rows, steps_per_epoch
from training.config import TrainConfig
from training.optimizer import peak_rate
from training.run.fingerprint import data_hashes, fingerprint, run_settings


@dataclass(frozen=True)
class TrainingPlan:
    """One training. A sweep makes its runs from one plan by `dataclasses.replace`."""

    method_name: str
    """A key of `adapters.methods.METHODS`."""
    model: ModelConfig
    """The frozen base: type, quantisation."""
    train: TrainConfig
    """The optimisation."""
    config: MethodConfig
    """The adapter: rank, its learning rate, targets."""
    base: Path
    """Folder of the base in the published layout."""
    base_sha256: str
    """Hash of the base's weights."""
    formatted: Path
    """Folder with train.parquet and validation.parquet."""
    output: Path
    """The adapter folder, replaced whole at the end."""
    scratch: Path
    """Resumable state and PiSSA's factors; on a file system that all machines share."""
    seed: int
    """Of batches, noise, dropout and LoRA's random A."""
    provenance: dict[str, Any]
    """Facts for run.json (commit, versions)."""

    def check(self) -> None:
        """Read the rows and say what is odd, before anything is loaded.

        Raises:
            InputError: an unknown method; a split that is missing or unreadable.
        """
        disturbed = self.method.pissa and self.config.dropout > 0
        _ = self.rows, self.validation_rows
        if disturbed and os.environ.get("RANK", "0") == "0":
            console.print(
                f"methods.{self.method_name}.dropout: {self.config.dropout} disturbs PiSSA's start, "
                "which is the base only at dropout 0"
            )

    @property
    def method(self) -> Method:
        """Raises InputError where there is no method of this name."""
        return method_named(self.method_name)

    @cached_property
    def rows(self) -> Rows:
        """The training split."""
        return read_rows(self.formatted / "train.parquet")

    @cached_property
    def validation_rows(self) -> Rows:
        """The whole validation split; `training.validation.chosen_rows` takes those that are used."""
        return read_rows(self.formatted / "validation.parquet")

    @cached_property
    def data(self) -> dict[str, str]:
        """sha256 of both splits."""
        return data_hashes(self.formatted)

    @property
    def settings(self) -> dict[str, Any]:
        """The three sections of the profile as JSON."""
        return run_settings(self.model, self.train, self.config)

    @cached_property  # once: it reads the code, which somebody may be editing
    def run_folder(self) -> Path:
        """Resumable state of exactly this run."""
        key = fingerprint(self.method_name, self.settings, self.data, self.base_sha256, self.seed)
        return self.scratch / "training" / f"{self.method_name}-{key[:16]}"

    @property
    def base_name(self) -> str | None:
        """What the adapter names as its base: the hub id or folder of the profile; None for the embedded one."""
        return None if self.model.base == "embedded" else self.model.base

    @property
    def telling_settings(self) -> dict[str, Any]:
        """What to print when a run fails."""
        return {
            "method": self.method_name,
            "learning_rate": peak_rate(self.config, self.train),
            "rank": self.config.rank,
            "global_batch_size": self.train.global_batch_size,
            "max_gradient_norm": self.train.max_gradient_norm,
            "dtype": self.model.dtype,
            "quantization": self.model.quantization,
        }

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.rows), self.train.global_batch_size)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in all."""
        steps = max(1, round(self.train.epochs * self.steps_per_epoch))
        return steps if self.train.max_steps is None else min(steps, self.train.max_steps)


def is_finished(plan: TrainingPlan) -> bool:
    """Whether the output holds the adapter of exactly this training; where base and scratch lie does not count."""
    if not (plan.output / "run.json").is_file():
        return False
    run = read_json(plan.output / "run.json")
    return (
        run["method"] == plan.method_name
        and run["seed"] == plan.seed
        and run["settings"] == plan.settings
        and run["data"]["sha256"] == plan.data
        and run["base"]["sha256"] == plan.base_sha256
    )
