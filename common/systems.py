"""How a system's name says what it is: `base` and `lora` diffuse, `ar-base` and `ar-lora` are of the autoregressive
twin.
"""

from __future__ import annotations

TWIN = "ar-"
BASES = ("base", f"{TWIN}base")
"""The systems without an adapter."""


def is_twin(name: str) -> bool:
    """Does a system's or a method's name stand for the autoregressive twin?"""
    return name.startswith(TWIN)
