"""Under DVC a stage shows one line: its name, its time, what it found. Its words and its libraries' go to a log file.

A stage that is run by hand says everything on the terminal, as any command does: DVC tells its stages their name in
$DVC_STAGE, and without that nothing here happens. Bars are shown while the stage runs where there is a terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.paths import Paths
    from pipeline.profile import Profile


@contextmanager
def stage_output(profile: Profile, paths: Paths) -> Iterator[None]:
    """Run a stage of DVC's with its output in `scratch/logs/STAGE.log`, and end with its line on stderr.

    Only the first process of a launcher's group speaks; each further one has a log of its own, `STAGE.RANK.log`.
    """
    stage, rank = os.environ.get("DVC_STAGE"), os.environ.get("RANK", "0")
    if not stage:
        yield
        return
    from common.progress import bars_on

    log = paths.scratch / "logs" / (f"{stage}.log" if rank == "0" else f"{stage}.{rank}.log")
    started = time.monotonic()
    told = f"stopped; what it said: {log}"
    with _redirected(log) as terminal:
        try:
            with ExitStack() as shown:
                if rank == "0" and os.isatty(terminal):
                    shown.enter_context(bars_on(shown.enter_context(os.fdopen(os.dup(terminal), "w"))))
                yield
            told = _facts(profile, paths, stage)
        except Exception:
            told = f"failed; what it said: {log}"
            raise
        finally:
            if rank == "0":
                line = f"{stage:<18} {time.monotonic() - started:7.1f} s  {told}".rstrip()
                with suppress(OSError):  # the terminal may have gone; the stage's work has not
                    os.write(terminal, f"{line}\n".encode())


@contextmanager
def _redirected(log: Path) -> Iterator[int]:
    """Let descriptors 1 and 2, which C libraries and child processes write to as well, lead to the file `log`; yields a
    descriptor of what 2 led to.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    try:
        _lead([file, file])
        yield kept[1]
    finally:
        _lead(kept)
        for descriptor in (file, *kept):
            os.close(descriptor)


def _lead(places: list[int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor, place in enumerate(places, start=1):
        os.dup2(place, descriptor)


def _facts(profile: Profile, paths: Paths, stage: str) -> str:
    from pipeline.commands.status import facts_of

    return facts_of(profile, paths, stage)
