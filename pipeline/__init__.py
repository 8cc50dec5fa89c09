"""The spine: one command per stage, the profile, and where artefacts lie.

`from pipeline import load_profile` is for users. It is loaded when it is used, so that a stage which imports from this
package reads no profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.profile import load_profile

__all__ = ["load_profile"]


def __getattr__(name: str) -> Any:
    if name != "load_profile":
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from pipeline.profile import load_profile

    return load_profile
