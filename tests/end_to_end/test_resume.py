"""Killed at any moment, the same command ends with the same bytes. `benchmarks/kill_resume.py` does it twenty times."""

import json
import random
import subprocess
import sys
import time

import pytest
import torch

from tests.support.imports import REPOSITORY
from tests.support.small_world import small_plan
from training import trainer
from training.run import processes

DRIVER = REPOSITORY / "tests" / "support" / "train_small.py"
SETTINGS = '{"max_steps": 60, "epochs": 99, "validate_every": 20, "checkpoint_every": 1}'  # nearly always writing


def start(folder, run, method):
    command = [sys.executable, str(DRIVER), str(folder), run, method, SETTINGS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("method", ["pissa"])
def test_killed_runs_end_with_the_bytes_of_an_uninterrupted_one(tmp_path, method, monkeypatch):
    monkeypatch.setattr(processes, "use_all_cores", lambda: torch.set_num_threads(1))  # as the driver does
    trainer.train(small_plan(tmp_path, method, run=f"whole/{method}", train=json.loads(SETTINGS)))
    moments = random.Random(0)
    for kill in range(2):
        process = start(tmp_path, "killed", method)
        steps = tmp_path / "killed" / method / "scratch" / "training"
        seen = len(list(steps.glob("*/step-*"))) if kill == 0 else -1
        while process.poll() is None and len(list(steps.glob("*/step-*"))) <= seen:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.05, 0.5))
        process.kill()
        process.wait()
    assert start(tmp_path, "killed", method).wait() == 0
    results = [tmp_path / run / method / "adapter" / "adapter_model.safetensors" for run in ("whole", "killed")]
    assert results[0].read_bytes() == results[1].read_bytes()
    curves = [(tmp_path / run / method / "adapter" / "curve.csv").read_text() for run in ("whole", "killed")]
    assert curves[0] == curves[1]
