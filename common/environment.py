"""What surrounds the program: a home folder to write in or none, streams that know every character or not, a proxy, the
processors that the user, the affinity and the container grant.
"""

from __future__ import annotations

import atexit
import io
import ipaddress
import os
import shutil
import stat
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NAME = "llada-indonesian"
CACHES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR")
"""Where numba (in UMAP) and matplotlib keep what can be made again; both expect to write there."""
parent: int | None = None
"""The process that started this one, where the operating system names another: in a fork that stands in for it."""


def writable_caches() -> None:
    """Give the libraries' caches another folder where the home folder cannot be written (a container's user). Before
    these libraries are imported; what the user has set stays.
    """
    if os.access(os.path.expanduser("~"), os.W_OK | os.X_OK):  # noqa: PTH111  (Path.home() raises for a nameless user)
        return
    missing = [name for name in CACHES if name not in os.environ]
    if missing:
        folder = _cache_folder()
        os.environ.update({name: str(folder / name.lower()) for name in missing})


def forgiving_streams() -> None:
    """Write characters that a stream's encoding lacks (latin-1, cp437, ascii) as escapes, and read broken bytes as
    U+FFFD, instead of failing.
    """
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stderr, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def is_loopback(url: str) -> bool:
    """Does an address lead to this machine itself?"""
    host = urllib.parse.urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def no_proxy_for_loopback() -> None:
    """Let every library that reads the environment reach this machine itself without the proxy."""
    for name in ("no_proxy", "NO_PROXY"):
        others = [entry for entry in os.environ.get(name, "").split(",") if entry.strip() not in ("", *LOOPBACK)]
        os.environ[name] = ",".join([*others, *LOOPBACK])


def _cache_folder() -> Path:
    """A folder that nobody else may write to, for numba's cache is code: in `XDG_CACHE_HOME` where the user has set it,
    and kept; else with a name that nobody can know before, removed when this process ends.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():  # the specification ignores a relative one
        with suppress(OSError):
            folder = given / NAME
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
                return folder
    folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process leaves it alone
        shutil.rmtree(folder, ignore_errors=True)


def tell_libraries_of_processors() -> None:
    """Say in the environment what libraries do not find out by themselves, before they are imported: OpenMP's (torch,
    scikit-learn, BLAS) know the affinity and not a container's quota; rayon's (tokenizers) know both and not
    `OMP_NUM_THREADS`. What the user has set stays.
    """
    if (granted := granted_processors()) < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(granted))
    if asked := asked_for():
        os.environ.setdefault("RAYON_NUM_THREADS", str(asked))


def threads_of_process() -> int:
    """`OMP_NUM_THREADS` where the user set it; else the granted processors shared by this machine's processes."""
    return asked_for() or max(1, granted_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def asked_for() -> int | None:
    """The user's `OMP_NUM_THREADS`, None where it is not set or no number.

    A launcher sets it to 1 by itself for what it starts; then its own environment says what the user set (on Linux).
    """
    environment: Mapping[str, str] = os.environ
    if "ACCELERATE_MIXED_PRECISION" in os.environ or "LOCAL_RANK" in os.environ:
        environment = _environment_of(parent or os.getppid())
    return omp_threads(environment)


def omp_threads(environment: Mapping[str, str]) -> int | None:
    """`OMP_NUM_THREADS` of an environment, of its outermost level; None where it is not set or no number."""
    first = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def granted_processors(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Processors that this process may run on: by its affinity and by its control groups' quotas (containers)."""
    return max(1, min([_affinity(), *(int(share) for share in _quotas(cgroups, own))]))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
