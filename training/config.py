"""The profile's `train` section."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from common.section import Section

Objective = Literal["answer", "sequence", "block"]


class TrainConfig(Section):
    """The optimisation, the same for every method, so that methods can be compared."""

    global_batch_size: int = Field(16, ge=1, le=65_536, description="rows per optimizer step, over all processes")
    micro_batch_size: int = Field(16, ge=1, le=65_536, description="rows per forward pass on one device at the most")
    epochs: float = Field(1.0, gt=0, le=10_000, description="passes over the training split")
    max_steps: int | None = Field(
        None, ge=1, le=100_000_000, description="stop after so many optimizer steps; null: by epochs"
    )
    learning_rate: float = Field(2e-4, gt=0, le=10, description="peak rate where a method does not set its own")
    weight_decay: float = Field(0.0, ge=0, le=100, description="decoupled weight decay")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="after the warm-up")
    warmup_fraction: float = Field(0.03, ge=0, lt=1, description="share of the steps that warm up linearly")
    max_gradient_norm: float = Field(1.0, gt=0, le=1_000_000, description="gradient clipping by global norm")
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = Field(
        "adamw", description="8-bit ones by bitsandbytes"
    )
    normalizer: Literal["answer_length", "masked_count", "batch_tokens"] = Field(
        "answer_length", description="the loss's denominator, see llada.diffusion.loss"
    )
    eos_tail: str = Field(
        "first:8",
        description="padding after the answer that is supervised, with EOS: all | first:K | random:K | none; with one "
        "EOS and then K tokens in turn that no text has: rainbow:K",
    )
    random_length: float = Field(
        0.0, ge=0, le=1, description="share of the rows that are cut at a random place of their answer, without an end"
    )
    stratified_t: bool = Field(True, description="stratify the noise level over the global batch")
    masks: Literal["independent", "complementary"] = Field(
        "independent", description="complementary: each row twice in a step, with a mask and its complement"
    )
    levels: Literal["uniform", "importance"] = Field(
        "uniform", description="importance: noise levels are drawn where the validated loss is large, weighted exactly"
    )
    objective: Objective = Field("answer", description="what is masked: answer | sequence (prompt too) | block")
    block_length: int = Field(32, ge=1, le=65_536, description="tokens per block of the objective block")
    validate_every: int = Field(50, ge=1, le=100_000_000, description="optimizer steps between validations")
    validation_draws: int = Field(4, ge=1, le=10_000, description="fixed stratified noise draws per validation row")
    validation_rows: int | None = Field(None, ge=1, le=100_000_000, description="validation rows used; null: all")
    checkpoint_every: int = Field(100, ge=1, le=100_000_000, description="optimizer steps between checkpoints")
    keep_checkpoints: int = Field(2, ge=1, le=10_000, description="complete checkpoints kept")
    early_stopping: int | None = Field(
        None, ge=1, le=1_000_000, description="stop after so many validations without a better loss"
    )
    log_every: int = Field(10, ge=1, le=100_000_000, description="optimizer steps between rows of the training curve")
    init_from: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="adapter to start from: its folder or its name in this profile; null: afresh",
    )
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="loggers besides the CSV curve"
    )

    @property
    def distinct_rows(self) -> int:
        """Different rows in one optimizer step."""
        return self.global_batch_size // 2 if self.masks == "complementary" else self.global_batch_size

    @model_validator(mode="after")
    def _pairs_fit(self) -> TrainConfig:
        if self.masks == "complementary" and self.global_batch_size % 2:
            raise ValueError(
                f"masks: complementary needs an even global_batch_size, two of each row, not {self.global_batch_size}"
            )
        return self

    @field_validator("eos_tail")
    @classmethod
    def _known_tail(cls, value: str) -> str:
        if value in ("all", "none") or re.fullmatch(r"(first|random):[1-9][0-9]{0,4}|rainbow:([1-9]|1[0-3])", value):
            return value
        raise ValueError(
            "must be all, none, first:K or random:K with K from 1 to 99999, or rainbow:K with K from 1 to 13"
        )
