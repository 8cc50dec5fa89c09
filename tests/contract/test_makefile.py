"""`make repro` of a download without .git tells DVC so, and leaves a clone alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.imports import REPOSITORY


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("cloned", [True, False])
def test_a_download_without_git_is_run_without_its_history(tmp_path: Path, cloned: bool) -> None:
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    repro = "echo words of DVC; echo Data and pipelines are up to date."
    for name, content in (("dvc", "true"), ("python", repro)):
        content = f'echo "{name} $@" >> {tmp_path}/asked; {content}'
        (binaries / name).write_text(f"#!/bin/sh\n{content}\n")
        (binaries / name).chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    if cloned:
        (tmp_path / ".git").mkdir()
    done = subprocess.run(
        ["make", "--no-print-directory", "repro"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    asked = (tmp_path / "asked").read_text().splitlines()
    settings = [] if cloned else ["dvc config --local core.no_scm true"]
    assert asked == [*settings, "python -m pipeline.repro"]
    assert done.stdout == "Data and pipelines are up to date.\n"
    assert "words of DVC" in (tmp_path / "artifacts" / "dvc.log").read_text()
