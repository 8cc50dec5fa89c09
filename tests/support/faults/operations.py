"""A stage whose disk is full from one of its file operations on, which is killed at it, or which the system tells
another error there, and the same stage again.

Each run is a forked process, so that a kill is a real one. Operations are what Python's audit hooks tell of below the
artefacts: files opened for writing, folders made, renamings, removals; and, for the other errors, files opened for
reading. Limits on the size of files (RLIMIT_FSIZE) and on their number (RLIMIT_NOFILE) stop those of other languages
too.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.options import faults_of
from pipeline.paths import Paths
from tests.support.faults.whole import OF_A_RUN, STAGES, WholeWorld

HEAVY = ("torch", "transformers", "peft", "accelerate", "pandas", "sklearn.cluster", "sacrebleu", "training.trainer",
         *(f"pipeline.stages.{stage}" for stage in STAGES if stage != "sweep"))  # fmt: skip
"""Imported before anything forks, so that no run has to: importing starts no thread."""
KINDS = ("EACCES", "EROFS", "ENAMETOOLONG", "EISDIR", "ENOTDIR", "ELOOP", "EMFILE", "EIO", "ESTALE")
"""What the system may say besides a full disk; each operation gets one of them in turn."""
FILES = (0, 1, 2, 4, 8)  # that may be open besides those that are as the stage begins
LIMITS = (0, 64, 1 << 10, 4 << 10, 16 << 10)  # bytes of a file
MAKING = ("open", "os.mkdir")
CHANGING = (*MAKING, "os.rename", "os.remove", "os.rmdir")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class UntidyError(AssertionError):
    """Another ending than promised: a traceback, other bytes after the rerun, something left lying about."""


@dataclass(frozen=True)
class Interruption:
    """How a run of a stage is disturbed. at: the operation's number from 1; in bytes where it is a limit."""

    stage: str
    how: str  # full | limit | kill | files | write EACCES, read EACCES ...
    at: int
    finished: bool  # the stage's outputs of a run before are there

    @property
    def name(self) -> str:
        return f"{self.stage}, {self.how} at {self.at}, {'finished' if self.finished else 'first'} run"


class Operations:
    """Worlds at toy size, one for every interruption; what a stage makes of it undisturbed is known."""

    def __init__(self, folder: Path, stages: Sequence[str] = STAGES) -> None:
        self.folder, self.stages = folder, stages
        made = folder / "made"
        for name in HEAVY:
            import_module(name)
        ended = _forked(lambda: WholeWorld.at(made))  # so that no library's thread is in this process, which forks
        if ended.status != 0:
            raise UntidyError(ended.told)
        self.made = WholeWorld.in_folder(made)
        self.expected = _digests(self.made.paths.root)

    def interruptions(self) -> Iterator[Interruption]:
        """Every one, in a fixed order."""
        for stage in self.stages:
            for finished in (False, True):
                world = self._fresh(stage, finished)
                changes, reads = json.loads(_forked(lambda world=world, stage=stage: _counted(world, stage)).told)
                for at in range(1, changes + 1):
                    yield Interruption(stage, "full", at, finished)
                    yield Interruption(stage, "kill", at, finished)
                    yield Interruption(stage, f"write {KINDS[at % len(KINDS)]}", at, finished)
                for at in range(1, reads + 1):
                    yield Interruption(stage, f"read {KINDS[at % len(KINDS)]}", at, finished)
                for size in LIMITS:
                    yield Interruption(stage, "limit", size, finished)
                for more in FILES:
                    yield Interruption(stage, "files", more, finished)

    def suffer(self, interruption: Interruption) -> None:
        """Run a stage with an interruption, and again without.

        Raises:
            UntidyError: the first run ended in a traceback, or the second did not make the same bytes and tidy up.
        """
        world = self._fresh(interruption.stage, interruption.finished)
        try:
            first = _forked(lambda: _disturbed(world, interruption))
            allowed = {"kill": (-signal.SIGKILL, 0)}.get(interruption.how, (2, 0))
            if first.status not in allowed:
                raise UntidyError(f"{interruption.name}: status {first.status}: {first.told[-300:]}")
            if first.status == 2 and ("\n" in first.told or len(first.told) > 300):
                raise UntidyError(f"{interruption.name}: {first.told[:300]}")
            second = _forked(lambda: world.run(interruption.stage))
            if second.status != 0:
                raise UntidyError(f"{interruption.name}: again: {second.told[-300:]}")
            found = _digests(world.paths.root)
            if found != self.expected:
                other = sorted(name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name))
                raise UntidyError(f"{interruption.name}: other files after the second run: {', '.join(other)[:200]}")
        finally:
            shutil.rmtree(world.paths.root)

    def _fresh(self, stage: str, finished: bool) -> WholeWorld:
        root = self.folder / "run"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.made.paths.root, root)
        world = replace(self.made, paths=Paths.of("mini", root))
        if not finished:
            for path in world.outputs(stage):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return world


@dataclass(frozen=True)
class _Ended:
    status: int  # of the process; negative: the signal that ended it
    told: str


def _forked(run: Callable[[], Any]) -> _Ended:
    """Run in a process of its own: 0 and what was returned, 2 and the user's faults, 1 and a traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status, told = 1, ""
        try:
            os.close(reading)
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            told, status = str(run()), 0
        except BaseException as error:  # noqa: BLE001  (which is what is told)
            faults = faults_of(error) if isinstance(error, Exception) else None
            status, told = (1, traceback.format_exc()) if faults is None else (2, "\n".join(faults))
        finally:
            os.write(writing, told.encode()[:60_000])
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
        told = stream.read()
    return _Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told)


def _counted(world: WholeWorld, stage: str) -> list[int]:
    """Operations that change something, and files opened for reading."""
    seen = {True: 0, False: 0}

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        seen[_changes(event, arguments)] += 1

    _watch(world.paths.root, count)
    world.run(stage)
    return [seen[True], seen[False]]


def _disturbed(world: WholeWorld, interruption: Interruption) -> None:
    if interruption.how == "files":
        there = sum(1 for _ in Path("/proc/self/fd").iterdir())
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (there + interruption.at, hard))
        world.run(interruption.stage)
        return
    if interruption.how == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (interruption.at, resource.RLIM_INFINITY))
        world.run(interruption.stage)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return
    seen, place = 0, None
    reading, kind = interruption.how.startswith("read "), interruption.how.rpartition(" ")[2]

    def disturb(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen, place
        if _changes(event, arguments) == reading:
            return
        seen += 1
        if seen >= interruption.at and kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if seen >= interruption.at and kind == "full" and event in MAKING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
        if kind in KINDS and (seen == interruption.at or arguments[0] == place):
            place = arguments[0]  # whoever tries again is told the same
            raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)), str(place))

    _watch(world.paths.root, disturb)
    world.run(interruption.stage)


def _watch(root: Path, told: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Call `told` before every file operation below `root`, for the rest of this process."""
    inside = f"{root}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGING:
            return
        place = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if place.startswith(inside) or (event in ("os.remove", "os.rmdir") and not place.startswith("/")):
            told(event, arguments)

    sys.addaudithook(hook)


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    return event != "open" or bool((arguments[2] or 0) & WRITES)


def _digests(root: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, and its SHA-256, but for those of which each run has its own; locks
    that stay are no leftovers.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {
        str(path.relative_to(root)): "" if path.name in OF_A_RUN else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
