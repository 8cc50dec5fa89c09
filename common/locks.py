"""Locks between processes: flock on a file or folder, which the kernel gives back on any death.

A file system that knows no locks (some network mounts) counts as free: nothing is refused there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import InputError

PATIENCE_S = 60.0


def lock(path: Path) -> int | None:
    """Hold `path`, a file or folder, until the returned descriptor is closed; None where another process holds it.

    Raises:
        FileNotFoundError: there is no such file or folder (any more).
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except OSError as error:
        held = error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    if not held:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def turn(path: Path, refusal: str, patience: float = PATIENCE_S) -> Iterator[None]:
    """Hold the file `path`, made where it is missing; wait for another process that holds it.

    Raises:
        InputError: `refusal`, after `patience` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    deadline = time.monotonic() + patience
    while (descriptor := lock(path)) is None:
        if time.monotonic() > deadline:
            raise InputError(refusal)
        time.sleep(0.2)
    try:
        yield
    finally:
        os.close(descriptor)
