"""Starting `driver.py`, with `accelerate launch` as a user starts `train_adapter.py`, and reading what it found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.cuda_parts.driver import Run
from common.files import read_json

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]


def start(run: Run, configuration: str | None = "single.yaml") -> subprocess.Popen[bytes]:
    """Start a run with a file of configs/accelerate/, or without a launcher; its output is this process's own."""
    launcher = [sys.executable]
    if configuration is not None:
        launcher = [*ACCELERATE, "--config_file", str(ROOT / "configs" / "accelerate" / configuration)]
        launcher += ["--main_process_port", "0"] if configuration != "single.yaml" else []
    run.result.unlink(missing_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    return subprocess.Popen([*launcher, str(DRIVER), str(run.write())], env=environment)


def figures(process: subprocess.Popen[bytes], run: Run, timeout: float) -> dict[str, Any]:
    """Wait for a run and read what it found; or why it found nothing."""
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"fault": f"exceeded {timeout:.0f} s"}
    return read_json(run.result) if run.result.is_file() else {"fault": f"exit status {status}"}
