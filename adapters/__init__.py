"""LoRA, LoRA+ and PiSSA on a frozen LLaDA base: what an adapter is, how it starts, how it is saved and loaded.

Names are resolved on first use (PEP 562), so that `import adapters` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.storage import load_adapter

__all__ = ["load_adapter"]


def __getattr__(name: str) -> Any:
    if name == "load_adapter":
        from adapters.storage import load_adapter

        return load_adapter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
