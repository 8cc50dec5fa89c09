"""Start the warm process, and end it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.warm.client import SOCKET

GPUS = ("nvidiactl", "kfd", "dxg")


def possible() -> bool:
    """Are there forks and process descriptors here (Linux), and no GPU, whose driver does not survive a fork?"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # another system; a kernel or sandbox without them
        return False
    return not any(Path("/dev", name).exists() for name in GPUS)


@contextmanager
def warm_process() -> Iterator[None]:
    """There is one for what is started within."""
    if not possible():
        yield
        return
    path = str(Path(tempfile.mkdtemp(prefix="warm-"), "socket"))  # the process removes it, however this one ends
    command = [sys.executable, "-m", "pipeline.warm.server", path]
    nothing = subprocess.DEVNULL
    # In a group of its own: the terminal's signals are passed on to its forks by whoever asked for them.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, process_group=0)
    os.environ[SOCKET] = path
    try:
        yield
    finally:
        del os.environ[SOCKET]
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
