"""What surrounds the program: a home folder to write in or none, streams that know every character or not, a proxy."""

from __future__ import annotations

import io
import ipaddress
import os
import stat
import sys
import tempfile
import urllib.parse
from contextlib import suppress
from pathlib import Path

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CACHES = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR")
"""Where numba (in UMAP) and matplotlib keep what can be made again; both expect to write there."""


def writable_caches() -> None:
    """Give the libraries' caches a temporary folder where the home folder cannot be written (a container's user).
    Before these libraries are imported; what the user has set stays.
    """
    if os.access(os.path.expanduser("~"), os.W_OK | os.X_OK):  # noqa: PTH111  (Path.home() raises for a nameless user)
        return
    missing = [name for name in CACHES if name not in os.environ]
    if missing:
        folder = _own_temporary_folder()
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


def _own_temporary_folder() -> Path:
    """The same from run to run; one that somebody else may write to is not trusted: numba's cache is code."""
    folder = Path(tempfile.gettempdir()) / f"llada-indonesian-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    trusted = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if trusted else Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
