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
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that monkeypatch takes it back
        monkeypatch.delenv(name)
    return monkeypatch


def test_caches_go_to_a_private_folder_where_home_cannot_be_written(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setenv("MPLCONFIGDIR", "/chosen/by/the/user")
    writable_caches()
    assert os.environ["MPLCONFIGDIR"] == "/chosen/by/the/user"
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert folder.stat().st_mode & 0o077 == 0


MAKING = (
    "from common.environment import writable_caches; import os; writable_caches(); print(os.environ['MPLCONFIGDIR'])"
)


def test_no_name_in_the_shared_folder_can_be_known_before_and_none_stays(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setenv("TMPDIR", str(tmp_path))
    environment.setenv("PYTHONPATH", str(REPOSITORY))
    made = [
        subprocess.run([sys.executable, "-c", MAKING], capture_output=True, text=True, check=True).stdout for _ in "12"
    ]
    assert len(set(made)) == 2
    assert all(Path(place).is_relative_to(tmp_path) for place in made)
    assert not list(tmp_path.iterdir())


def test_the_users_own_cache_folder_is_used_and_kept(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    writable_caches()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == tmp_path / "cache" / "llada-indonesian"


def test_caches_stay_where_home_can_be_written(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("HOME", str(tmp_path))
    writable_caches()
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("planted", ["open to all", "a link", "a file"])
def test_a_cache_folder_that_another_could_write_is_not_trusted(
    environment: pytest.MonkeyPatch, tmp_path: Path, planted: str
) -> None:
    environment.setenv("HOME", "/nonexistent")
    environment.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "llada-indonesian"
    if planted == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        place.symlink_to("theirs")
    elif planted == "a file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    writable_caches()
    assert not Path(os.environ["NUMBA_CACHE_DIR"]).resolve().is_relative_to(tmp_path)


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
