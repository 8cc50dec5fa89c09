"""`make repro` is `dvc repro`, less one notice."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from dvc.fs import localfs
from dvc.rwlock import rwlock

from pipeline import repro

KILLED = {"pid": 2**22 + 1, "cmd": "dvc repro"}  # above the largest process number of Linux


def test_a_lock_that_a_killed_run_left_is_released_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By DVC's own reader of its lock file; without ours it does say so."""
    rows, asked = str(tmp_path / "rows"), []

    def command(arguments: list[str]) -> int:
        asked.append(arguments)
        (tmp_path / "rwlock").write_text(json.dumps({"write": {rows: KILLED}}))
        with rwlock(str(tmp_path), localfs, "dvc repro", [rows], [], False):
            logging.getLogger("dvc.repo").warning("another notice")
        return 3

    monkeypatch.setattr(logging.getLogger("dvc.rwlock"), "level", logging.NOTSET)
    monkeypatch.setattr("dvc.cli.main", command)
    command([])
    assert "had been killed" in caplog.messages[0]
    caplog.clear()
    assert repro.main(["--force"]) == 3
    assert asked == [[], ["--wait-for-lock", "repro", "--force"]]
    assert caplog.messages == ["another notice"]


@pytest.mark.parametrize(("behind", "status"), [({}, 0), ({"report": set()}, 0), ({"report": set()}, 3)])
def test_side_by_side_what_is_behind_is_run_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    behind: dict[str, set[str]],
    status: int,
) -> None:
    """And nothing else: DVC is not asked again whether that was all."""
    asked: list[list[str]] = []

    def command(arguments: list[str]) -> int:
        asked.append(arguments)
        return status

    (tmp_path / "dvc.lock").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repro, "_out_of_date", lambda: behind)
    monkeypatch.setattr("dvc.cli.main", command)
    assert repro.main(["--jobs", "2"]) == status
    assert asked == [["--wait-for-lock", "repro", stage] for stage in behind]
    assert capsys.readouterr().out == ("" if status else "Data and pipelines are up to date.\n")
