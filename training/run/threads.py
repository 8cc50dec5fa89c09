"""How many processors a training on the CPU takes: what the user asked for, else its share of what is granted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def threads_of_process() -> int:
    """`OMP_NUM_THREADS` where the user set it; else the granted processors shared by this machine's processes."""
    return asked_for() or max(1, granted_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def asked_for() -> int | None:
    """The user's `OMP_NUM_THREADS`, None where it is not set or no number.

    A launcher sets it to 1 by itself for what it starts; then its own environment says what the user set (on Linux).
    """
    environment: Mapping[str, str] = os.environ
    if "ACCELERATE_MIXED_PRECISION" in os.environ or "LOCAL_RANK" in os.environ:
        environment = _environment_of(os.getppid())
    first = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def granted_processors(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Processors that this process may run on: by its affinity and by its control groups' quotas (containers)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(int(share) for share in _quotas(cgroups, own))]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Processors by every quota on this process: of version 2 for its group and those above, of version 1."""
    lines = _text(own).splitlines()
    group = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    for place in (cgroups / group, *(cgroups / group).parents):
        if place.is_relative_to(cgroups):
            yield from _ratio(*_text(place / "cpu.max").split())
    old = cgroups / "cpu"
    yield from _ratio(_text(old / "cpu.cfs_quota_us").strip(), _text(old / "cpu.cfs_period_us").strip())


def _ratio(quota: str = "", period: str = "") -> Iterator[float]:
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:  # not "max", not -1
        yield int(quota) / int(period)


def _environment_of(process: int) -> dict[str, str]:
    entries = _text(Path(f"/proc/{process}/environ")).split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
