"""What this process holds in memory, and the most that it ever held.

The peak is Linux's VmHWM. getrusage's ru_maxrss is not that: it begins with what the process that started this one
held, so a large launcher would hide a small trainer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource


def resident_bytes() -> int | None:
    """Bytes resident now; None where the system does not tell (it does on Linux)."""
    return _status_bytes("VmRSS")


def peak_resident_bytes() -> int:
    """The most bytes that were ever resident at once, since the program started. Elsewhere than on Linux: ru_maxrss."""
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    import resource

    return rusage_peak_bytes(resource.getrusage(resource.RUSAGE_SELF))


def rusage_peak_bytes(usage: resource.struct_rusage) -> int:
    """ru_maxrss in bytes, of a process that has ended: of its own peak and what the process that started it held then,
    the larger. So measure from a small process.
    """
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status_bytes(field: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]
    return sizes[0] * 1024 if sizes else None
