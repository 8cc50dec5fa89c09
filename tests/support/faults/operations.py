"""A stage whose disk is full from one of its file operations on, or which is killed at it, and the same stage again.

Each run is a forked process, so that a kill is a real one. Operations are what Python's audit hooks tell of below the
artefacts: files opened for writing, folders made, renamings, removals. A limit on the size of files (RLIMIT_FSIZE)
stops those written by other languages too.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.options import faults_of
from pipeline.paths import Paths
from tests.support.faults.artefacts import World

STAGES = ("select", "split", "format")
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
    how: str  # full | limit | kill
    at: int
    finished: bool  # the stage's outputs of a run before are there

    @property
    def name(self) -> str:
        return f"{self.stage}, {self.how} at {self.at}, {'finished' if self.finished else 'first'} run"


class Operations:
    """Worlds at toy size, one for every interruption; what a stage makes of it undisturbed is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = folder / "made"
        _forked(lambda: World.at(made))  # so that no thread of daft's is in this process, which forks
        self.made = World(Paths.of("mini", made / "run"), made / "planted", _profile())
        self.expected = _digests(self.made.paths.root)

    def interruptions(self) -> Iterator[Interruption]:
        """Every one, in a fixed order."""
        for stage in STAGES:
            for finished in (False, True):
                world = self._fresh(stage, finished)
                most = json.loads(_forked(lambda world=world, stage=stage: _counted(world, stage)).told)
                for at in range(1, most + 1):
                    yield Interruption(stage, "full", at, finished)
                    yield Interruption(stage, "kill", at, finished)
                for size in LIMITS:
                    yield Interruption(stage, "limit", size, finished)

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

    def _fresh(self, stage: str, finished: bool) -> World:
        root = self.folder / "run"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.made.paths.root, root)
        world = replace(self.made, paths=Paths.of("mini", root))
        if not finished:
            for path in _outputs(world, stage):
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


def _counted(world: World, stage: str) -> int:
    seen = 0

    def count(event: str, _: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += 1

    _watch(world.paths.root, count)
    world.run(stage)
    return seen


def _disturbed(world: World, interruption: Interruption) -> None:
    if interruption.how == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (interruption.at, resource.RLIM_INFINITY))
        world.run(interruption.stage)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return
    seen = 0

    def disturb(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += 1
        if seen >= interruption.at and interruption.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if seen >= interruption.at and event in MAKING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    _watch(world.paths.root, disturb)
    world.run(interruption.stage)


def _watch(root: Path, told: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Call `told` before every operation that changes something below `root`, for the rest of this process."""
    inside = f"{root}/"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGING or (event == "open" and not (arguments[2] or 0) & WRITES):
            return
        place = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if place.startswith(inside) or (event in ("os.remove", "os.rmdir") and not place.startswith("/")):
            told(event, arguments)

    sys.addaudithook(hook)


def _outputs(world: World, stage: str) -> list[Path]:
    paths = world.paths
    return {
        "select": [paths.candidates, paths.select_facts],
        "split": [paths.splits, paths.leakage_facts],
        "format": [paths.formatted, paths.format_facts],
    }[stage]


def _digests(root: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, and its SHA-256; locks that stay are no leftovers."""
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def _profile() -> Any:
    from pipeline.profile import load_profile
    from tests.support.faults.artefacts import SETTINGS

    return load_profile("mini", SETTINGS)
