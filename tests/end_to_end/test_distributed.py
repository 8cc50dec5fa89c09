"""Two processes see the losses of one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
from small_world import training_arguments  # noqa: E402

DRIVER = Path(__file__).with_name("train_small.py")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
SETTINGS = '{"max_steps": 20, "epochs": 9, "validate_every": 10, "micro_batch_size": 2}'


def curve(folder, run):
    with (folder / run / "adapter" / "curve.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", ["lora", "pissa"])
def test_two_processes_have_the_losses_of_one(tmp_path, method):
    training_arguments(tmp_path)  # base and rows, once
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    config = ["--config_file", str(ROOT / "configs" / "accelerate" / "ddp-cpu.yaml"), "--main_process_port", "0"]
    for run, command in (("one", [sys.executable]), ("two", ACCELERATE + config)):
        arguments = [*command, str(DRIVER), str(tmp_path), run, method, SETTINGS]
        subprocess.run(arguments, check=True, env=environment, capture_output=True, timeout=600)
    one, two = curve(tmp_path, "one"), curve(tmp_path, "two")
    assert len(one) == len(two) == 21
    for column in ("train_loss", "gradient_norm", "validation_loss"):
        pairs = [(float(a[column]), float(b[column])) for a, b in zip(one, two, strict=True) if a[column]]
        assert np.allclose(*zip(*pairs, strict=True), atol=1e-5, rtol=1e-5), column
    assert [row["tokens"] for row in one] == [row["tokens"] for row in two]
