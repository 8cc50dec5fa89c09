"""The base of every profile section: frozen, strict about unknown keys, lenient about `2e-4` (a string in YAML 1.1)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the profile. Unknown keys are refused; numbers written as text (`2e-4`) are read as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())
