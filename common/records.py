"""JSON files read through a model of what they must hold: another shape is one sentence, never a traceback."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from common.errors import InputError
from common.files import read_json

T = TypeVar("T")


class Record(BaseModel):
    """What we read of a file; it may hold more."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


def read_record(path: Path, kind: type[T], made_by: str | None = None) -> T:
    """Read a JSON file as `kind`, a Record or any type that pydantic knows.

    Args:
        made_by: the command that makes the file, named as the cure.

    Raises:
        InputError: the file is missing, is no JSON, or holds something else; place and cure are named.
    """
    try:
        content = read_json(path, made_by)
    except RecursionError:
        raise InputError(f"{path}: nested too deeply{_cure(made_by)}") from None
    return as_record(path, content, kind, made_by)


def as_record(path: Path, content: Any, kind: type[T], made_by: str | None = None) -> T:
    """`content`, read from `path`, as `kind`; raises InputError as `read_record` does."""
    try:
        return _adapter(kind).validate_python(content)  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {f'{place}: ' if place else ''}{first['msg'].lower()}{_cure(made_by)}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once: a file of 12,000 lines has a record on each."""
    return TypeAdapter(kind)


def _cure(made_by: str | None) -> str:
    return f"; run `{made_by}`" if made_by else ""
