"""A command that a warm process runs in a fork: words, folder, environment, status and signals are as by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.warm import start
from pipeline.warm.client import SOCKET
from pipeline.warm.server import LIBRARIES
from tests.support.imports import REPOSITORY

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="there are warm processes on Linux alone")

SERVER = """
import sys
from pipeline.warm import server
server.LIBRARIES = ("wave", "no_such_library")
server.main(sys.argv[1])
"""
COMMAND = """
import os, runpy, sys
if __name__ == "__main__":
    from pipeline.warm.client import hand_over
    hand_over()
    print(os.getppid(), "wave" in sys.modules, os.getcwd(), sys.argv[1:], os.environ.get("COLOUR"), flush=True)
    runpy.run_path(sys.argv[1])
"""


class Warm:
    """A warm process that has imported nothing large, and commands for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "warm" / "socket"
        self.socket.parent.mkdir()
        (folder / "train_adapter.py").write_text(COMMAND)
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), SOCKET: str(self.socket), "COLOUR": "biru"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.socket)],
            cwd=folder,
            env={**self.environment, "COLOUR": "hijau", "OMP_NUM_THREADS": "7"},
            stdin=subprocess.PIPE,
            process_group=0,
        )
        _until(lambda: self.socket.exists() and self.run("pass")[1][0].split()[1] == "True")

    def start(self, body: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """`python train_adapter.py FILE`, which runs the body in it."""
        pipe, file = subprocess.PIPE, self.folder / "body.py"
        file.write_text(f"import os, signal, sys, time\n{body}\n")
        command = [sys.executable, str(self.folder / "train_adapter.py") if cwd else "train_adapter.py", str(file)]
        return subprocess.Popen(
            command, cwd=cwd or self.folder, env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, body: str, given: str = "", cwd: Path | None = None) -> tuple[int, list[str], str]:
        """Exit status, lines of stdout, stderr."""
        process = self.start(body, cwd)
        out, err = process.communicate(given, timeout=60)
        return process.returncode, out.splitlines(), err


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    warm = Warm(tmp_path)
    yield warm
    assert warm.process.stdin is not None
    warm.process.stdin.close()
    warm.process.wait(timeout=60)


def test_a_fork_runs_the_command_as_it_was_given(warm: Warm) -> None:
    body = "print(sys.stdin.read(), file=sys.stderr); print('é', file=sys.stderr); sys.exit(3)"
    status, out, err = warm.run(body, "masukan")
    assert out == [f"{warm.process.pid} True {warm.folder} {[str(warm.folder / 'body.py')]} biru"]
    assert (status, err.split()) == (3, ["masukan", "é"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("pass", 0),
        ("sys.exit('kata')", 1),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import atexit; atexit.register(lambda: os.write(1, b'selesai')); sys.exit(143)", 143),
    ],
)
def test_it_ends_as_the_fork_ends(warm: Warm, body: str, status: int) -> None:
    ended, out, err = warm.run(body)
    assert ended == status
    assert ("ZeroDivisionError" in err) == ("/" in body)
    assert ("selesai" in out) == ("atexit" in body)


def test_a_fork_does_all_of_an_interpreters_end_but_clearing_the_libraries(warm: Warm) -> None:
    body = (
        "import atexit, threading, wave\n"
        "class Last:\n    def __del__(self): os.write(1, b'dibersihkan')\n"
        "wave.last = Last()\n"
        "threading.Thread(target=lambda: (time.sleep(0.3), print('utas'))).start()\n"
        "atexit.register(print, 'akhir')\n"
        "print('isi')\n"
        "sys.exit(5)"
    )
    status, out, _ = warm.run(body)
    assert (status, out[1:]) == (5, ["isi", "utas", "akhir"])


def test_signals_are_passed_on_once(warm: Warm) -> None:
    body = (
        "signal.signal(signal.SIGTERM, lambda number, frame: os.write(1, b'disimpan\\n'))\n"
        "signal.signal(signal.SIGINT, lambda number, frame: sys.exit(130))\n"
        "print('siap', flush=True)\n"
        "while True: time.sleep(0.01)"
    )
    process = warm.start(body)
    assert process.stdout is not None
    process.stdout.readline()
    assert process.stdout.readline() == "siap\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "disimpan\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130


def test_who_is_killed_takes_the_fork_along(warm: Warm) -> None:
    process = warm.start("print(os.getpid(), flush=True); time.sleep(100)")
    assert process.stdout is not None
    process.stdout.readline()
    fork = int(process.stdout.readline())
    process.kill()
    process.communicate()
    _until(lambda: not Path(f"/proc/{fork}").exists())


def test_forks_run_beside_each_other_and_outlive_the_end_of_new_ones(warm: Warm) -> None:
    both = [warm.start("print('siap', flush=True); sys.stdin.readline(); sys.exit(7)") for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.readline() == "siap\n"
    assert warm.process.stdin is not None
    warm.process.stdin.close()
    _until(lambda: warm.run("pass")[1][0].split()[1] == "False")
    assert [process.communicate("\n", timeout=60) and process.returncode for process in both] == [7, 7]
    warm.process.wait(timeout=60)
    assert not warm.socket.parent.exists()


def test_without_a_warm_process_the_command_runs_by_itself(warm: Warm, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    status, out, _ = warm.run("sys.exit(5)", cwd=elsewhere)
    assert (status, out[0].split()[:2]) == (5, [str(os.getpid()), "False"])
    warm.environment["LOCAL_RANK"] = "0"
    assert warm.run("pass")[1][0].split()[1] == "False"
    del warm.environment["LOCAL_RANK"]
    warm.environment[SOCKET] = str(elsewhere / "socket")
    assert warm.run("pass")[1][0].split()[1] == "False"


def test_a_warm_process_that_is_killed_is_told_of(warm: Warm) -> None:
    process = warm.start("print('siap', flush=True); time.sleep(2)")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    os.kill(warm.process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was killed" in err


def test_the_users_processors_are_those_of_whoever_started_the_command(warm: Warm) -> None:
    body = "from common.environment import asked_for; os.environ['LOCAL_RANK'] = '0'; print(asked_for())"
    asked = Path("/proc/self/environ").read_text().partition("\0OMP_NUM_THREADS=")[2].partition("\0")[0] or None
    assert warm.run(body)[1][1] == str(asked)  # the number of this process, not of the warm one


def test_libraries_exist_and_are_none_of_ours() -> None:
    ours = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    for library in LIBRARIES:
        assert library.partition(".")[0] not in ours
        assert find_spec(library) is not None, library


def test_the_process_lives_as_long_as_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "possible", lambda: True)
    with start.warm_process():
        path = Path(os.environ[SOCKET])
        _until(path.exists)
    assert SOCKET not in os.environ
    assert not path.parent.exists()
    monkeypatch.setattr(start, "possible", lambda: False)
    with start.warm_process():
        assert SOCKET not in os.environ


def _until(holds: object) -> None:
    deadline = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
