"""What the models of the report's files are made of: numbers within bounds, counts, shallow facts, scores."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from common.records import Record

LARGEST = 1e12
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
