"""What the stage `evaluate` writes of a system: metrics.json, items.jsonl, trace.json, accounting.json."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from eval.metrics.definitions import METRICS
from eval.metrics.floors import FLOOR_LABELS
from eval.report.records.by_hand import Task
from eval.report.records.values import Count, Facts, Number, Score, Strict

NOT_OF_EVERY_TEXT = ("bound_per_token", "bits_per_byte", "cosine", "f1_at_half", "accuracy")


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
