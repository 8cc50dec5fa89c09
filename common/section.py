"""The base of every profile section: frozen, strict about unknown keys, lenient about `2e-4` (a string in YAML 1.1)."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

LARGEST_SEED = 2**32 - 1
"""numpy's and scikit-learn's random states take no larger one."""


class Section(BaseModel):
    """A section of the profile. Unknown keys are refused, and numbers that are not finite; numbers written as text
    (`2e-4`) are read as numbers.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return refuse_truth_value(value, cls.model_fields[str(info.field_name)].annotation)


def refuse_truth_value(value: Any, annotation: Any) -> Any:
    """The value; pydantic would read `true` as the number 1.

    Raises:
        ValueError: a truth value where the annotation asks for a number.
    """
    kinds = typing.get_args(annotation) or (annotation,)
    if isinstance(value, bool) and bool not in kinds and {int, float} & set(kinds):
        raise ValueError("a number is needed, not true or false (YAML reads yes, no, on and off as these)")
    return value
