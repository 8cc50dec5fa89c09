"""A stage of DVC's shows one line, whatever it and its libraries say; by hand everything is shown."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from common.progress import console, progress_bar
from pipeline.options import running
from pipeline.paths import Paths
from pipeline.profile import load_profile
from pipeline.stage_output import stage_output

PROFILE = load_profile("mini")
SAID = ("a result", "a warning", "a C library", "a child", "its fault", "a table", "a bar")


def talk() -> None:
    """Say something by every way there is."""
    print("a result")
    print("a warning", file=sys.stderr)
    os.write(1, b"a C library\n")
    subprocess.run(["sh", "-c", "echo a child; echo its fault >&2"], check=True)
    console.print("a table")
    with progress_bar() as progress:
        progress.update(progress.add_task("a bar", total=2, note=""), advance=2)


def shown_by(action: Callable[[], object], folder: Path, errors: int | None = None) -> tuple[str, str]:
    """What an action leaves on descriptors 1 and 2, or on 1 alone where `errors` is taken for 2; Python's streams lie
    on them, as they do in a process without pytest.
    """
    kept = os.dup(1), os.dup(2)
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno() if errors is None else errors, 2)
    with (
        open(1, "w", closefd=False) as first,
        open(2, "w", closefd=False) as second,
        mock.patch.multiple(sys, stdout=first, stderr=second),
    ):
        try:
            action()
        finally:
            first.flush()
            second.flush()
            for number, place in enumerate(kept, start=1):
                os.dup2(place, number)
                os.close(place)
    return (folder / "out").read_text(), (folder / "err").read_text()


def everything_on(terminal: int) -> str:
    """What was written to the other end, which is closed; Linux ends such a reading with EIO."""
    parts = []
    with suppress(OSError):
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def log_of(paths: Paths, name: str = "embed") -> Path:
    return paths.scratch / "logs" / f"{name}.log"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Artefacts of a finished `embed`."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "embed.json").write_text(json.dumps({"rows": 7200, "dimension": 128}))
    return Paths.of("mini", tmp_path / "artifacts")


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "embed")
    monkeypatch.delenv("RANK", raising=False)


def test_a_stage_of_dvcs_shows_its_name_its_time_and_what_it_found(
    paths: Paths, embedding: None, tmp_path: Path
) -> None:
    out, err = shown_by(lambda: stage(paths, talk), tmp_path)
    assert out == ""
    assert re.fullmatch(r"embed {14} +\d+\.\d s  7,200 x 128\n", err)
    assert all(words in log_of(paths).read_text() for words in SAID)


def stage(paths: Paths, body: Callable[[], object]) -> None:
    with stage_output(PROFILE, paths):
        body()


def test_a_second_run_begins_its_log_anew_and_the_streams_are_given_back(
    paths: Paths, embedding: None, tmp_path: Path
) -> None:
    def run_twice() -> None:
        stage(paths, lambda: print("first"))
        stage(paths, lambda: print("second"))
        print("after")

    assert shown_by(run_twice, tmp_path)[0] == "after\n"
    assert log_of(paths).read_text() == "second\n"


def test_by_hand_everything_is_shown(paths: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    shown = "".join(shown_by(lambda: stage(paths, talk), tmp_path))
    assert all(words in shown for words in SAID)
    assert not paths.scratch.exists()


def test_a_failure_names_the_log_before_its_own_line(paths: Paths, embedding: None, tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        print("half of it")
        raise OSError(28, "No space left on device", "rows.parquet")

    def run() -> None:
        with pytest.raises(SystemExit), running("embed", "mini", None, paths.root, distributed=True):
            fill_the_disk()

    first, second = shown_by(run, tmp_path)[1].splitlines()
    assert re.fullmatch(rf"embed +\d+\.\d s  failed; what it said: {re.escape(str(log_of(paths)))}", first)
    assert second.startswith("error: no space left on ")
    assert log_of(paths).read_text() == "half of it\n"


def test_a_stop_is_told_as_a_stop(paths: Paths, embedding: None, tmp_path: Path) -> None:
    def stop() -> None:
        with pytest.raises(KeyboardInterrupt), stage_output(PROFILE, paths):
            raise KeyboardInterrupt

    assert f"stopped; what it said: {log_of(paths)}" in shown_by(stop, tmp_path)[1]


def test_other_processes_of_a_group_are_silent_and_keep_logs_of_their_own(
    paths: Paths, embedding: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert shown_by(lambda: stage(paths, lambda: print("rank 1")), tmp_path) == ("", "")
    assert log_of(paths, "embed.1").read_text() == "rank 1\n"


def test_on_a_terminal_a_bar_is_shown_and_taken_away(paths: Paths, embedding: None, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    shown_by(lambda: stage(paths, talk), tmp_path, errors=theirs)
    os.close(theirs)
    shown = everything_on(ours)
    assert "\x1b[2K" in shown.rpartition("a bar")[2], "the bar's line is erased"
    assert shown.rstrip().endswith("7,200 x 128")
    assert [words for words in SAID if words in shown] == ["a bar"]
    assert [words for words in SAID if words not in log_of(paths).read_text()] == ["a bar"]
