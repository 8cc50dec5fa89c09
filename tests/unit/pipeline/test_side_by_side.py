"""Stages side by side: in the order of their needs, never too many at once, ended by a failure or a signal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.side_by_side import Needs, Signals, leading_chain, run_side_by_side

NEEDS: Needs = {"rows": set(), "a": {"rows"}, "b": {"rows"}, "c": {"rows", "a"}, "report": {"a", "b", "c"}}


class Stages:
    """Processes that write when they began and ended, `stage 0|1`, in one file."""

    def __init__(self, folder: Path, bodies: dict[str, str] | None = None) -> None:
        self.record = folder / "record"
        self.record.touch()
        self.bodies = bodies or {}

    def start(self, stage: str) -> subprocess.Popen[str]:
        body = self.bodies.get(stage, "sleep 0.05")
        script = f"echo {stage} 0 >> {self.record}; {body}; s=$?; echo {stage} 1 >> {self.record}; exit $s"
        return subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE, text=True, process_group=0)

    def events(self) -> list[tuple[str, int]]:
        return [(line.split()[0], int(line.split()[1])) for line in self.record.read_text().splitlines()]


def test_what_has_nobody_beside_it_is_the_chain_at_the_beginning() -> None:
    assert leading_chain(NEEDS) == ["rows"]
    assert leading_chain({"b": {"a"}, "a": set()}) == ["a", "b"]
    assert leading_chain({"a": set(), "b": set()}) == []
    assert leading_chain({}) == []


@pytest.mark.parametrize("seed", range(4))
def test_every_stage_runs_once_after_its_needs_and_never_too_many_do(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    names = [f"s{i}" for i in range(7)]
    needs = {name: set(draw.sample(names[:i], draw.randint(0, min(i, 2)))) for i, name in enumerate(names)}
    stages = Stages(tmp_path)
    assert run_side_by_side(needs, stages.start, jobs=2) == 0
    done: set[str] = set()
    running: set[str] = set()
    for stage, ended in stages.events():
        if ended:
            running.remove(stage)
            done.add(stage)
        else:
            assert needs[stage] <= done
            running.add(stage)
            assert len(running) <= 2
    assert done == set(names)
    assert len(stages.events()) == 2 * len(names)


def test_two_stages_do_run_at_once(tmp_path: Path) -> None:
    """Each waits for the other to begin; one after the other they would wait for ever."""
    wait = "until grep -q '{} 0' {}; do sleep 0.02; done"
    bodies = {"a": wait.format("b", tmp_path / "record"), "b": wait.format("a", tmp_path / "record")}
    assert run_side_by_side({"a": set(), "b": set()}, Stages(tmp_path, bodies).start, jobs=2) == 0


def test_after_a_failure_what_runs_may_end_and_nothing_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stages = Stages(tmp_path, {"a": "echo 'error: [no] such row' >&2; (exit 3)", "b": "sleep 0.4"})
    assert run_side_by_side(NEEDS, stages.start, jobs=2) == 3
    assert sorted(stages.events()) == [(stage, ended) for stage in ("a", "b", "rows") for ended in (0, 1)]
    assert "error: [no] such row" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_every_stage_once_and_nothing_starts(tmp_path: Path, number: int, status: int) -> None:
    record = tmp_path / "record"
    body = f"trap 'echo T 0 >> {record}; exit 1' INT TERM; echo ready 0 >> {record}; while :; do sleep 0.02; done"
    stages = Stages(tmp_path, {"a": body, "b": body})

    def interrupt() -> None:
        while record.read_text().count("ready") < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=interrupt).start()
    assert run_side_by_side({"a": set(), "b": set(), "c": {"a"}}, stages.start, jobs=2) == status
    assert record.read_text().count("T 0") == 2
    assert "c 0" not in record.read_text()
    assert signal.getsignal(number) is before


def test_a_second_signal_counts_once_the_first_is_passed_on() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        for count in (1, 2):  # as `timeout` sends them
            os.kill(os.getpid(), signal.SIGTERM)
            while len(signals.received) < count:
                time.sleep(0.01)
        signals.as_before()
        assert signal.getsignal(signal.SIGTERM) is before
    assert signals.received == [signal.SIGTERM] * 2


def test_a_signal_after_a_failure_still_reaches_what_runs(tmp_path: Path) -> None:
    record = tmp_path / "record"
    body = f"trap 'echo T 0 >> {record}; exit 1' INT TERM; echo ready 0 >> {record}; while :; do sleep 0.02; done"
    stages = Stages(tmp_path, {"a": f"until grep -q ready {record}; do sleep 0.02; done; (exit 3)", "b": body})

    def interrupt() -> None:
        while "a 1" not in record.read_text():
            time.sleep(0.02)
        time.sleep(0.5)  # the failure has been taken in
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    assert run_side_by_side({"a": set(), "b": set()}, stages.start, jobs=2) == 3
    assert record.read_text().count("T 0") == 1


def test_a_stage_that_cannot_be_started_is_not_passed_over(tmp_path: Path) -> None:
    def start(stage: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable + "-missing"], stderr=subprocess.PIPE, text=True)

    with pytest.raises(FileNotFoundError):
        run_side_by_side({"a": set()}, start, jobs=1)
