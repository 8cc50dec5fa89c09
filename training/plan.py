"""What is to be trained: one typed record from which every training starts, and what follows from it alone."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.config import MethodConfig, ModelConfig
from adapters.methods import Method, method_named, misfits
from adapters.stored import WEIGHTS, missing_files
from common.errors import InputError
from common.files import read_json, sha256_of_file
from common.progress import console
from common.systems import is_twin
from training.batching import Rows, read_rows, steps_per_epoch
from training.config import TrainConfig
from training.optimizer import peak_rate
from training.run.fingerprint import data_hashes, deciding, fingerprint, ingredients, run_settings

if TYPE_CHECKING:
    from llada.network.configuration import LLaDAConfig

MOST_STEPS = 99_999_999  # a checkpoint's name has eight digits


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
    base_revision: str | None = None
    """The commit of the base on the hub, where it comes from there."""
    init_from: Path | None = None
    """Folder of an adapter whose weights training starts from; `train.init_from`, resolved."""

    def check(self) -> None:
        """Read the rows and say what is odd, before anything is loaded.

        Raises:
            InputError: an unknown method; numbers that no training can compute with; a split that is missing or
                unreadable; no adapter to start from, or a method that starts from none.
        """
        if faults := list(self.faults()):
            raise InputError(faults)
        disturbed = self.method.leaves_residual and self.config.dropout > 0
        _ = self.rows, self.validation_rows
        if self.total_steps > MOST_STEPS:
            raise InputError(f"train.epochs: {self.train.epochs:g} makes more than {MOST_STEPS:,} optimizer steps")
        if disturbed and self.is_first_process:
            console.print(
                f"methods.{self.method_name}.dropout: {self.config.dropout} disturbs the start of "
                f"{self.method.title}, which is the base only at dropout 0"
            )

    def faults(self) -> Iterator[str]:
        """What is wrong with the settings by themselves, each on a line."""
        section = f"methods.{self.method_name}"
        if not 0 <= self.seed < 2**63:
            yield f"seed: {shortened(self.seed)}; must be from 0 to 2^63 - 1"
        for name, values in (("model", self.model), ("train", self.train), (section, self.config)):
            for key, value in values:
                if isinstance(value, float) and not math.isfinite(value):
                    yield f"{name}.{key}: {value}; must be finite"
        alpha, rank = self.config.alpha, shortened(self.config.rank)
        if not _is_single(lambda: self.method.scaling(self.config)):
            yield f"{section}.alpha: {alpha} over rank {rank} is no number that float32 holds; take about the rank"
        ratio = self.config.ratio if self.method.loraplus else 1.0
        if not _is_single(lambda: peak_rate(self.config, self.train) * ratio):
            yield f"{section}.learning_rate: {peak_rate(self.config, self.train)} times ratio {ratio} overflows float32"
        yield from misfits(section, self.method, self.config, self.model.quantization)
        if self.init_from is None:
            return
        yield from missing_files(self.init_from)
        if self.method.leaves_residual:
            rank = self.method.saved_rank(self.config)
            yield (
                f"train.init_from: {self.method_name} starts from a part of the base's weights, not from an adapter; a "
                f"saved one is LoRA of rank {rank}, continue it with --method lora and --set methods.lora.rank={rank} "
                f"--set methods.lora.alpha={self.method.scaling(self.config) * rank:g}"
            )
        elif self.method.form != "lora":
            yield f"train.init_from: {self.method_name} cannot start from an adapter; continue one with --method lora"

    @property
    def causal(self) -> bool:
        """Whether the base is the autoregressive twin."""
        return is_twin(self.method_name)

    def shape(self) -> LLaDAConfig:
        """The base's sizes, from its config.json; a causal one's in the form of ours.

        Raises:
            llada.errors.CheckpointError, OSError: there is no usable config.json.
        """
        if self.causal:
            from causal.network import read_causal_config, shape_of

            return shape_of(read_causal_config(self.base))
        from llada.network.checkpoint import read_config

        return read_config(self.base)

    @property
    def is_first_process(self) -> bool:
        """Whether this process speaks for all of a launch."""
        return os.environ.get("RANK", "0") == "0"

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

    @cached_property
    def init_sha256(self) -> str | None:
        """Hash of the weights that training starts from."""
        return None if self.init_from is None else sha256_of_file(self.init_from / WEIGHTS)

    @cached_property  # once: it reads the code, which somebody may be editing
    def ingredients(self) -> dict[str, Any]:
        """What the result depends on."""
        return ingredients(self.method_name, self.settings, self.data, self.base_sha256, self.init_sha256, self.seed)

    @cached_property
    def run_folder(self) -> Path:
        """Resumable state of exactly this run."""
        return self.scratch / "training" / f"{self.method_name}-{fingerprint(self.ingredients)[:16]}"

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
        return steps_per_epoch(len(self.rows), self.train.distinct_rows)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in all."""
        steps = max(1, round(self.train.epochs * self.steps_per_epoch))
        return steps if self.train.max_steps is None else min(steps, self.train.max_steps)


def refuse_misfits(plans: Iterable[TrainingPlan]) -> None:
    """Before the first of many trainings: raises InputError where the settings of any do not fit each other."""
    if faults := list(dict.fromkeys(fault for plan in plans for fault in plan.faults())):
        raise InputError(faults)


def is_finished(plan: TrainingPlan) -> bool:
    """Whether the output holds the adapter of exactly this training; where base and scratch lie does not count, nor do
    settings that change nothing (the interval of validations does: it is that of the curve).
    """
    if not (plan.output / "run.json").is_file():
        return False
    try:
        run = read_json(plan.output / "run.json")
        settings = run["settings"]
        return (
            run["method"] == plan.method_name
            and run["seed"] == plan.seed
            and deciding(settings) == deciding(plan.settings)
            and settings["train"]["validate_every"] == plan.train.validate_every
            and run["data"]["sha256"] == plan.data
            and run["base"]["sha256"] == plan.base_sha256
            and (run.get("init_from") or {}).get("sha256") == plan.init_sha256
        )
    except (KeyError, TypeError, AttributeError):  # a run.json of another shape is no finished run of ours
        return False


def shortened(number: int) -> str:
    """An integer that fits a line, however many digits it has."""
    return str(number) if abs(number) < 10**20 else f"about 2^{number.bit_length() - 1}"


def _is_single(number: Callable[[], float]) -> bool:
    """Whether a number can be computed and is positive and finite in float32."""
    try:
        with np.errstate(all="ignore"):
            single = float(np.float32(number()))
    except OverflowError:
        return False
    return 0 < single < math.inf
