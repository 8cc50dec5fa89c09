"""Stopping cleanly: SIGINT and SIGTERM finish the current step, save, and exit 130 or 143; one process per run.

DVC records a trainer that exits 0 on Ctrl-C as finished, hence the statuses.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from common.errors import InputError

LOCK_PATIENCE_S = 60.0


class Interrupts:
    """Within the `with` block the two signals are noted in `signal` while `deferred`, else they exit at once.

    A second signal always exits at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.deferred = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        _die_with_launcher()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.deferred or self.signal is not None:
            raise SystemExit(128 + number)
        self.signal = number


def _die_with_launcher() -> None:
    """Ask Linux for SIGTERM when `accelerate launch` dies, which does not pass on the signal that killed it.

    Without this a killed launcher leaves the training running, against the next one that resumes it. A training
    started without the launcher stays as independent of its shell as any program.
    """
    if "ACCELERATE_MIXED_PRECISION" in os.environ and sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold `folder/lock` exclusively; wait a minute for a predecessor that is still saving. Released by the kernel on
    any death.

    Raises:
        InputError: another process keeps training this very run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{folder}: another process is training this run; wait for it or stop it"
                    ) from None
                time.sleep(0.2)
        yield
