"""What a wheel holds: the model, and no name that others may want. The pipeline needs its clone, with configs/."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.imports import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
LAUNCHER = {"accelerate_exit_status.py", "accelerate_exit_status.pth"}


def test_the_wheel_is_told_to_hold_the_model_and_the_launchers_files_alone() -> None:
    assert WHEEL["packages"] == ["llada"]
    assert set(WHEEL["force-include"].values()) == LAUNCHER
    assert all((REPOSITORY / source).is_file() for source in WHEEL["force-include"])
    assert PYPROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"] == ["."]  # an editable one puts all of the clone there
    assert "scripts" not in PYPROJECT["project"]  # one that starts the pipeline would find no configs/


def test_a_wheel_that_is_built_holds_that(tmp_path: Path) -> None:
    build = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    [made] = build.WheelBuilder(str(REPOSITORY)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(made) as wheel:
        names = wheel.namelist()
    project = PYPROJECT["project"]
    information = f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"llada", information} | LAUNCHER
    tracked = subprocess.run(["git", "ls-files", "llada"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert {name for name in names if name.startswith("llada/")} == set(tracked.stdout.split())


def test_the_wheels_package_imports_nothing_that_stays_in_the_clone() -> None:
    rest = {path.name for path in REPOSITORY.iterdir() if (path / "__init__.py").is_file()} - {"llada"}
    assert {"common", "pipeline", "eval"} <= rest
    pattern = re.compile(rf"^\s*(?:from|import) ({'|'.join(sorted(rest))})\b", re.MULTILINE)
    for path in (REPOSITORY / "llada").rglob("*.py"):
        assert not pattern.search(path.read_text(encoding="utf-8")), path
