"""What the report needs of the files that stages wrote. A file of another shape is refused by its place and its cure.

Types are strict: what passes here is handed on as it was read.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from adapters.methods import METHODS
from common.records import Record
from common.systems import TWIN
from eval.metrics.definitions import METRICS
from eval.metrics.floors import FLOOR_LABELS

LARGEST = 1e12
NOT_OF_EVERY_TEXT = ("bound_per_token", "bits_per_byte", "cosine", "f1_at_half", "accuracy")
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=2**53)]
DEEPEST = 40


def _shallow(value: Any) -> Any:
    """Facts that are printed as they are: nested no deeper than any of ours."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inner(one)]
    if level:
        raise ValueError("nested too deeply")
    return value


def _inner(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


Facts = Annotated[dict[str, Any], AfterValidator(_shallow)]


class Strict(Record):
    """No value is read as another type."""

    model_config = ConfigDict(strict=True)


class Score(Strict):
    """A value with its interval, where it has one, and the items behind it."""

    value: Number
    low: Number | None
    high: Number | None
    n: Count
    standard_error: Number = 0.0

    @model_validator(mode="after")
    def _has_both_ends_or_none(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low, high: one end of an interval is missing")
        return self


class Level(Strict):
    """The fit at one share of masked tokens."""

    mask_share: Number
    nats: Number
    accuracy: Number
    tokens: Count


class Budget(Strict):
    """Answers at one token budget."""

    budget: Annotated[int, Field(ge=1)]
    answer_tokens: Score
    stopped: Score
    empty: Score


class BoundStatistics(Strict):
    """Per item (nats, tokens)."""

    bound_per_token: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]


class English(Strict):
    """The bound on the English sample."""

    bound_per_token: Score
    bits_per_byte: Score
    statistics: BoundStatistics


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


class Settings(Strict):
    """Of the measurement; more is copied as it is."""

    seed: int
    sampling: Facts = Field({})


class GroupScores(Strict):
    """Of one group of items: GROUP_METRICS."""

    bound_per_token: Score
    bits_per_byte: Score
    chrf: Score


class KindScores(GroupScores):
    """Of one kind of task: KIND_METRICS. An accuracy over no item: no one answer is right."""

    exact_match: Score
    accuracy: Score


class Groups(Strict):
    """Scores by kind of group."""

    subset_name: dict[str, GroupScores]
    cluster: dict[str, GroupScores]
    answer_tokens: dict[str, GroupScores]
    kind: dict[str, KindScores] | None = None


class Metrics(Strict):
    """metrics.json."""

    system: str
    n: Annotated[int, Field(ge=1)]
    metrics: dict[str, Score]
    floors: dict[str, dict[str, Number]]
    ceiling: dict[str, Number]
    groups: Groups
    signatures: dict[str, str]
    settings: Settings
    noise_levels: list[Level] = Field([])
    english: English | None = None
    english_file: English | None = None
    eos_overflow: list[Budget] = Field([])
    tasks: dict[str, Task] = Field({})
    exact_likelihood: bool = False

    @model_validator(mode="after")
    def _holds_what_every_system_is_judged_by(self) -> Self:
        text = {key for key in METRICS if key not in NOT_OF_EVERY_TEXT}
        text |= {"distinct1", "distinct2", "same_answer"}
        missing = (text | {"bound_per_token", "bits_per_byte"}) - self.metrics.keys()
        if self.floors.keys() != FLOOR_LABELS.keys():
            raise ValueError(f"floors: expected {', '.join(FLOOR_LABELS)}")
        for values in (*self.floors.values(), self.ceiling):
            missing |= text - {"truncated"} - values.keys()
        if missing:
            raise ValueError(f"lacks {sorted(missing)[0]}")
        if "accuracy" in self.metrics and not (self.groups.kind and self.metrics["accuracy"].n):
            raise ValueError("metrics.accuracy: of no item, or not by kind")
        return self


class Item(Strict):
    """A row of items.jsonl."""

    id: str
    subset_name: str
    cluster: int
    prompt: str
    reference: str
    answer: str
    stopped: bool
    kind: str | None = None
    right: bool | None = None
    scores: dict[str, Number]
    statistics: dict[str, list[Number]]

    @model_validator(mode="after")
    def _has_its_scores(self) -> Self:
        if not {"bound_per_token", "chrf"} <= self.scores.keys():
            raise ValueError("scores: lacks bound_per_token or chrf")
        return self

    @model_validator(mode="after")
    def _is_right_or_wrong_where_it_counts(self) -> Self:
        counts = [*self.statistics.get("accuracy", []), 0.0, 0.0]
        if (counts[1] > 0) != (self.right is not None):
            raise ValueError("right: differs from statistics.accuracy")
        return self


class Step(Strict):
    """One step of a replay."""

    commit: list[Annotated[list[Any], Field(min_length=3, max_length=3)]]
    take_back: list[int]

    @model_validator(mode="after")
    def _commits_pieces(self) -> Self:
        for place, piece, confidence in self.commit:
            if type(place) is not int or type(piece) is not str or type(confidence) not in (int, float):
                raise ValueError("commit: expected [position, piece, confidence]")
            if not math.isfinite(confidence):
                raise ValueError("commit: a confidence is not finite")
        return self


class Replay(Strict):
    """How one answer was written."""

    prompt: str
    reference: str
    length: Count
    forward_passes: Count
    steps: list[Step]


class Trace(Strict):
    """trace.json."""

    items: list[Replay]


class Measured(Strict):
    """What an evaluation read: hashes of the adapter's weights (None: the base) and of the test split."""

    adapter_sha256: str | None = None
    test_sha256: str | None = None


class Alone(Strict):
    """Some answers written one after the other."""

    items: Annotated[int, Field(ge=1)]
    seconds: Number
    forward_passes: Count
    tokens_per_second: Number


class Accounting(Strict):
    """accounting.json."""

    alone: Alone | None = None
    batch_size: Count | None = None
    peak_memory_bytes: Count | None = None
    tokens_per_second: Number | None = None
    generated_tokens: Count | None = None

    measured: Measured = Measured()

    generation_seconds: Number | None = None
    forward_passes: Count | None = None


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
    rates_alike: list[Number] = Field([])


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
