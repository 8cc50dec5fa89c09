"""Signals that come early."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.imports import REPOSITORY


def catches(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether the program has a handler for the signal by now, as Linux tells."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) & 1 << (number - 1))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_termination_before_anything_is_imported_ends_with_143(tmp_path: Path) -> None:
    """Without artefacts the command ends with 2, long before a training would install its handlers."""
    command = [sys.executable, "train_adapter.py", "--method", "lora", "--artifacts", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not catches(process, signal.SIGTERM):
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert process.stderr is not None
        assert process.stderr.read() == b""
