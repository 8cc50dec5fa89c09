"""The profile's `evaluation` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from common.section import Section

LONGEST_ANSWER = 4096  # the context of LLaDA
TaskKind = Literal["xcopa", "indocloze", "nusax", "mmlu"]


class TaskConfig(Section):
    """A multiple-choice task on a local file, answered by likelihood."""

    name: str = Field(min_length=1, max_length=200, description="what the report calls it")
    file: str = Field(min_length=1, max_length=4096, description="path of the CSV or JSON-lines file")
    kind: TaskKind = Field(description="how the file is read: xcopa | indocloze | nusax | mmlu")
    limit: int | None = Field(None, ge=1, le=100_000_000, description="the first so many items; null: all")


class EvaluationConfig(Section):
    """How base and adapters are measured; the same for all."""

    batch_size: int = Field(16, ge=1, le=65_536, description="rows per batch in generation and likelihood")
    likelihood_samples: int = Field(
        32, ge=1, le=10_000, description="stratified mask counts per item for the likelihood bound"
    )
    bootstrap_resamples: int = Field(2000, ge=100, le=1_000_000, description="resamples for each 95% interval")
    permutations: int = Field(5000, ge=100, le=1_000_000, description="sign flips for each paired comparison")
    decoding_seeds: int = Field(
        1,
        ge=1,
        le=1000,
        description="answers drawn per item and pooled; more than one is of use where sampling is random",
    )
    trace_items: int = Field(
        4, ge=0, le=10_000, description="test items whose denoising is kept step by step for the report"
    )
    eos_overflow: tuple[int, ...] = Field(
        (),
        max_length=64,
        description="token budgets at which a few items are answered again, such as [64, 128, 256, 512]; []: none "
        f"(each a multiple of sampling.block_length, at most {LONGEST_ANSWER})",
    )
    eos_overflow_items: int = Field(16, ge=1, le=1_000_000, description="test items answered at each of these budgets")
    tasks: tuple[TaskConfig, ...] = Field((), description="multiple-choice tasks on local files: {name, file, kind}")

    @field_validator("eos_overflow")
    @classmethod
    def _budgets_are_positive(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= budget <= LONGEST_ANSWER for budget in budgets):
            raise ValueError(f"every budget must be from 1 to {LONGEST_ANSWER}")
        return tuple(sorted(set(budgets)))
