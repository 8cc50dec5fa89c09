"""Two processes see the losses of one."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.support.imports import REPOSITORY
from tests.support.small_world import small_plan
from training import trainer

DRIVER = REPOSITORY / "tests" / "support" / "train_small.py"
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
SETTINGS = {"max_steps": 20, "epochs": 9, "validate_every": 10, "micro_batch_size": 2}


def curve(folder, run, method):
    with (folder / run / method / "adapter" / "curve.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("method", ["lora", "pissa"])
def test_two_processes_have_the_losses_of_one(tmp_path, method):
    """The two come from `accelerate launch`; the one is this process."""
    trainer.train(small_plan(tmp_path, method, run=f"one/{method}", train=SETTINGS))
    config = ["--config_file", str(REPOSITORY / "configs" / "accelerate" / "ddp-cpu.yaml"), "--main_process_port", "0"]
    command = [*ACCELERATE, *config, str(DRIVER), str(tmp_path), "two", method, json.dumps(SETTINGS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=600)
    one, two = curve(tmp_path, "one", method), curve(tmp_path, "two", method)
    assert len(one) == len(two) == 21
    for column in ("train_loss", "gradient_norm", "validation_loss"):
        pairs = [(float(a[column]), float(b[column])) for a, b in zip(one, two, strict=True) if a[column]]
        assert np.allclose(*zip(*pairs, strict=True), atol=1e-5, rtol=1e-5), column
    assert [row["tokens"] for row in one] == [row["tokens"] for row in two]
    runs = [json.loads((tmp_path / run / method / "adapter" / "run.json").read_text()) for run in ("one", "two")]
    assert [run["processes"] for run in runs] == [1, 2]
