"""The profile's `evaluation` section."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from common.section import Section

LONGEST_ANSWER = 4096  # the context of LLaDA
TaskKind = Literal[
    "copal", "maps", "indocloze", "indoculture", "indommlu", "indocareer",
    "xcopa", "nusax", "belebele", "global_mmlu", "indonli", "mabl",
]  # fmt: skip
TASK_KINDS: tuple[str, ...] = get_args(TaskKind)
Scoring = Literal["likelihood", "letter", "revealing"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
MOST_SHOTS = 5
RougeTokenizer = Literal["ascii", "unicode"]


class TaskConfig(Section):
    """A public multiple-choice suite in a local file."""

    name: str = Field(min_length=1, max_length=200, description="what the report calls it")
    file: str = Field(min_length=1, max_length=4096, description="path of the suite's file, as it is published")
    kind: TaskKind = Field(description=f"the suite: {' | '.join(TASK_KINDS)}")
    limit: int | None = Field(None, ge=1, le=100_000_000, description="the first so many items; null: all")
    shots: int = Field(0, ge=0, le=MOST_SHOTS, description="answered examples before each question")
    shots_file: str | None = Field(
        None, min_length=1, max_length=4096, description="where the examples are; null: the suite's own few-shot rows"
    )
    scorings: tuple[Scoring, ...] = Field(
        SCORINGS, min_length=1, max_length=3, description="how options are scored: likelihood | letter | revealing"
    )

    @field_validator("kind", mode="before")
    @classmethod
    def _under_its_former_name(cls, kind: object) -> object:
        return "global_mmlu" if kind == "mmlu" else kind

    @field_validator("scorings")
    @classmethod
    def _scorings_once_each(cls, scorings: tuple[Scoring, ...]) -> tuple[Scoring, ...]:
        return tuple(one for one in SCORINGS if one in scorings)


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
    english_file: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="a public file of English prompts and answers for the retention, beside the sixteen built-in items",
    )
    english_rows: int = Field(100, ge=1, le=1_000_000, description="its first so many rows")
    rouge_tokenizer: RougeTokenizer = Field(
        "ascii",
        description="what ROUGE counts: ascii (rouge-score's tokens of a-z and 0-9) | unicode (words of any script)",
    )
    tasks: tuple[TaskConfig, ...] = Field(
        (), description="public suites in local files: {name, file, kind, limit, shots, shots_file, scorings}"
    )

    @field_validator("tasks")
    @classmethod
    def _tasks_have_different_names(cls, tasks: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise ValueError("every task needs a name of its own")
        return tasks

    @field_validator("eos_overflow")
    @classmethod
    def _budgets_are_positive(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= budget <= LONGEST_ANSWER for budget in budgets):
            raise ValueError(f"every budget must be from 1 to {LONGEST_ANSWER}")
        return tuple(sorted(set(budgets)))
