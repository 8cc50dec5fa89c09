"""What the data stages and the trainings wrote down of their work."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from eval.report.records.values import Count, Facts, Number, Strict


class Best(Strict):
    """The validation whose adapter was exported."""

    step: Count | None = None


class Validation(Strict):
    best: Best | None = None


class Run(Strict):
    """run.json. Everything in it is printed, and so must be shallow."""

    validation: Validation | None = None
    settings: Facts = Field({})
    trainable_parameters: Count | None = None
    training_seconds: Number | None = None
    data: Facts = Field({})
    base: Facts = Field({})


class Select(Strict):
    """select.json: rows after each step, in all and by subset."""

    steps: list[str] = Field([])
    total: dict[str, Count] = Field({})
    subsets: dict[str, dict[str, Count]] = Field({})

    @model_validator(mode="after")
    def _counts_every_step(self) -> Self:
        counted = {step for step in self.steps if step in self.total}
        if any(not counted <= counts.keys() for counts in self.subsets.values()):
            raise ValueError("subsets: a step is not counted")
        return self


class Before(Strict):
    row_disjoint_test: Facts = Field({})


class After(Strict):
    test: Facts | None = None
    validation: Facts = Field({})


class Leakage(Strict):
    """leakage.json."""

    before: Before = Before.model_validate({})
    after: After = After.model_validate({})


class Source(Strict):
    """A part of inputs.json."""

    kind: str | None = None
    source: str | None = None


class Inputs(Strict):
    """inputs.json."""

    base: Source = Source()
    dataset: Source = Source()
    encoder: Source = Source()


class Point(Strict):
    """A row of umap.parquet."""

    x: Number
    y: Number
    cluster: int
    subset_name: str
    text: str
