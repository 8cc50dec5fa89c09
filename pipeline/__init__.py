"""The spine: one command per stage, the profile, and where artefacts lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.profile import load_profile

__all__ = ["load_profile"]


def __getattr__(name: str) -> Any:
    if name != "load_profile":  # loaded when it is used: a stage that imports from here reads no profile's sections
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from pipeline.profile import load_profile

    return load_profile
