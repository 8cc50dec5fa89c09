"""The program works without a home folder, without UTF-8, and behind a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.environment import is_loopback, no_proxy_for_loopback, writable_caches
from tests.support.imports import REPOSITORY

PRINTING = """
from common.environment import forgiving_streams
from common.progress import plain_console
from rich.panel import Panel
forgiving_streams()
print("… Yogyakarta ☕ \\udcff", len(__import__("sys").stdin.read()))
plain_console().print(Panel("… 日本", title="é"))
"""


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii", "utf-8"])
def test_no_character_is_too_much_for_a_stream(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", PRINTING]
    result = subprocess.run(command, env=environment, input=b"\xff\xfe teks", capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert b"Yogyakarta" in result.stdout


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that monkeypatch takes it back
        monkeypatch.delenv(name)
    return monkeypatch


def test_caches_go_to_a_temporary_folder_where_home_cannot_be_written(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setenv("MPLCONFIGDIR", "/chosen/by/the/user")
    writable_caches()
    assert os.environ["MPLCONFIGDIR"] == "/chosen/by/the/user"
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert folder.stat().st_mode & 0o077 == 0


def test_caches_stay_where_home_can_be_written(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("HOME", str(tmp_path))
    writable_caches()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_a_cache_folder_that_another_could_write_is_not_trusted(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setattr("tempfile.tempdir", str(tmp_path))
    planted = tmp_path / f"llada-indonesian-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    writable_caches()
    assert not Path(os.environ["NUMBA_CACHE_DIR"]).is_relative_to(planted)


def test_loopback_is_known_by_every_name() -> None:
    for here in (
        "http://127.0.0.1:8000/v1",
        "http://localhost",
        "http://[::1]:1",
        "http://LOCALHOST",
        "http://127.9.9.9",
    ):
        assert is_loopback(here), here
    for elsewhere in ("http://10.0.0.1", "https://huggingface.co", "http://127.0.0.1.example.org", "http://"):
        assert not is_loopback(elsewhere), elsewhere


def test_loopback_is_added_to_what_the_user_keeps_from_the_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("no_proxy", "intern.example, localhost")
    no_proxy_for_loopback()
    no_proxy_for_loopback()
    assert os.environ["no_proxy"] == "intern.example,localhost,127.0.0.1,::1"
