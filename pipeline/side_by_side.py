"""Stages of a graph side by side, each a process of its own, in the order that their needs allow."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import Any

from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from common.progress import console

Needs = Mapping[str, set[str]]
"""A stage -> the stages that must be done before it."""


def leading_chain(needs: Needs) -> list[str]:
    """The stages at the beginning that have nobody beside them, in order."""
    chain: list[str] = []
    while len(ready := [stage for stage in needs if stage not in chain and needs[stage] <= set(chain)]) == 1:
        chain += ready
    return chain


def run_side_by_side(needs: Needs, start: Callable[[str], subprocess.Popen[str]], jobs: int) -> int:
    """Run every stage, at most `jobs` at once, in the order of `needs` where several could start.

    After a failure nothing more is started, and what runs may end. SIGINT and SIGTERM are passed on, and then nothing
    more is started either.

    Args:
        start: starts a stage's process, the leader of its group, with a pipe as its stderr; what comes from it is shown
            line by line.

    Returns:
        0; after a failure the exit status of the first stage that failed; after a signal 128 + its number.
    """
    done: set[str] = set()
    running: dict[str, tuple[subprocess.Popen[str], TaskID]] = {}
    ended: Queue[str] = Queue()
    status = passed_on = 0
    with Signals() as signals, _spinners() as bars:
        while True:
            if signals.received and not passed_on:
                passed_on = signals.received[0]
                status = status or 128 + passed_on
                for process, _ in running.values():
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, passed_on)
                signals.as_before()  # a second one ends this process; not before, for `timeout` sends two at once
            ready = [stage for stage in needs if stage not in done and stage not in running and needs[stage] <= done]
            for stage in [] if status else ready[: jobs - len(running)]:
                process = start(stage)
                running[stage] = process, bars.add_task(stage, total=None)
                threading.Thread(target=_show, args=(stage, process, ended), daemon=True).start()
            if not running:
                return status
            with suppress(Empty):  # a signal's handler does not run while a queue is waited for without end
                stage = ended.get(timeout=0.2)
                process, bar = running.pop(stage)
                bars.remove_task(bar)
                done.add(stage)
                status = status or process.wait()


def _show(stage: str, process: subprocess.Popen[str], ended: Queue[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            console.print(line.rstrip("\n"), soft_wrap=True)
    ended.put(stage)


@contextmanager
def _spinners() -> Iterator[Progress]:
    """What runs and for how long, below the lines of what has ended; on a terminal alone."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    terminal = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not terminal, redirect_stdout=False) as bars:
        yield bars


class Signals:
    """SIGINT and SIGTERM within are `received`, and nothing else happens, up to `as_before`."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Signals:
        for number in self._before:
            signal.signal(number, lambda received, _: self.received.append(received))
        return self

    def __exit__(self, *_: object) -> None:
        self.as_before()

    def as_before(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
