"""The base of every profile section: frozen, strict about unknown keys, lenient about `2e-4` (a string in YAML 1.1)."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from itertools import pairwise
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


def attribute_docstrings(model: Any) -> dict[str, str]:
    """Field -> the string written below it, read from the class's source: Python itself does not keep it."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, text in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            texts[field.target.id] = ast.literal_eval(text.value)
    return texts
