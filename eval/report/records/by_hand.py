"""What is run by hand: public suites, refusals, the sweep."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from adapters.methods import METHODS
from common.systems import TWIN
from eval.report.records.values import Count, Number, Score, Strict


class SuiteGroups(Strict):
    """What the items of a suite share in groups, and how many groups there are."""

    by: str
    count: Count


class SuiteItems(Strict):
    """Each item of a suite: its id, its group, and by reading the credit for its choice."""

    id: list[str]
    group: list[str | None] | None
    right: dict[str, list[Annotated[float, Field(ge=0, le=1)]]]


class Task(Strict):
    """One public suite; a score per reading."""

    suite: str
    n: Annotated[int, Field(ge=1)]
    chance: Number
    damaged: Count
    shots: Count
    with_fewer_shots: Count
    cut: Count
    sha256: str
    groups: SuiteGroups | None
    accuracy: Score | None = None
    accuracy_normalised: Score | None = None
    letter: Score | None = None
    revealing: Score | None = None
    revealing_normalised: Score | None = None
    tables: dict[str, dict[str, dict[str, Score]]]
    items: SuiteItems

    @model_validator(mode="after")
    def _has_every_item(self) -> Self:
        right = self.items.right
        if not right or right.keys() - type(self).model_fields.keys():
            raise ValueError("items.right: no reading that is known")
        if any(getattr(self, key, None) is None for key in right):
            raise ValueError("items.right: a reading without its score")
        lists = [self.items.id, *right.values(), *([self.items.group] if self.items.group else [])]
        if any(len(one) != self.n for one in lists):
            raise ValueError("items: not as many as n")
        return self


class HandRunTask(Task):
    """result.json of `python -m pipeline tasks`."""

    name: str
    system: str
    adapter_sha256: str | None


class RefusalRule(Strict):
    """What the rule that counts refusals gets wrong."""

    labelled: Count
    sensitivity: Score
    specificity: Score


class Refusals(Strict):
    """result.json of `python -m pipeline safety`."""

    system: str
    file_sha256: str
    adapter_sha256: str | None
    n: Annotated[int, Field(ge=1)]
    refusals: Score
    tables: dict[str, dict[str, Score]]
    rule: RefusalRule


class Last(Strict):
    loss: Number


class SweepRun(Strict):
    """One training of a sweep."""

    method: str
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    last: Last
    curve: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]


class BestRate(Strict):
    """A method's best rate."""

    learning_rate: Number
    bound: Number
    seeds: Annotated[int, Field(ge=1)]
    deviation: Number | None = None
    parameters: Count | None = None
    rates: list[Number] = Field([])
    rates_alike: list[Number] = Field([])
    seeds_of_rates: Count | None = None


class Search(Strict):
    """What a sweep cost, shortened runs included."""

    runs: Count
    steps: Count
    seconds: Number


class Difference(Strict):
    """Against the first method."""

    difference: Number
    low: Number | None
    high: Number | None
    p_adjusted: Number | None = None


class Sweep(Strict):
    """sweep.json."""

    runs: Annotated[list[SweepRun], Field(min_length=1)]
    best: Annotated[dict[str, BestRate], Field(min_length=1)]
    steps_to_reach: dict[str, Number | None] = Field({})
    minus_reference: dict[str, Difference] = Field({})
    search: Search | None = None

    @model_validator(mode="after")
    def _methods_have_their_runs(self) -> Self:
        runs = {(run.method, run.learning_rate) for run in self.runs}
        for method, best in self.best.items():
            if method.removeprefix(TWIN) not in METHODS:
                raise ValueError(f"best: {method} is no method")
            if (method, best.learning_rate) not in runs:
                raise ValueError(f"best.{method}: no run has the rate {best.learning_rate}")
            if best.seeds > 1 and best.deviation is None:
                raise ValueError(f"best.{method}: lacks deviation")
        missing = list(self.best)[1:]
        if not set(missing) <= self.steps_to_reach.keys():
            raise ValueError("steps_to_reach: lacks a method")
        return self
