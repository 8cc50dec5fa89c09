"""Two processes see the losses of one."""

import csv
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.support.imports import LONG, REPOSITORY
from tests.support.small_world import small_plan
from training import trainer

DRIVER = REPOSITORY / "tests" / "support" / "train_small.py"
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
SETTINGS = {"max_steps": 20, "epochs": 9, "validate_every": 10, "micro_batch_size": 2}
NOT_THE_DEFAULT = {"masks": "complementary", "levels": "importance", "objective": "block", "block_length": 4}
# Two batches of validation draws for one process and one for the other: 12 rows x 3 draws, 13 draws a batch.
UNEVEN = {"max_steps": 6, "validate_every": 3, "validation_draws": 3, "micro_batch_size": 13, "global_batch_size": 9}
CASES = [("lora", {}), ("pissa", {}), ("lora", NOT_THE_DEFAULT), ("ar-pissa", {}), ("pissa", NOT_THE_DEFAULT)]
minutes = pytest.mark.skipif(not LONG, reason="minutes; LONG_TESTS=1 runs it")


def launch(configuration, folder, *arguments):
    """`accelerate launch` of the driver with a file of configs/accelerate/; its exit status and what it said."""
    config = ["--config_file", str(REPOSITORY / "configs" / "accelerate" / configuration), "--main_process_port", "0"]
    command = [*ACCELERATE, *config, str(DRIVER), str(folder), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stderr


def launch_on_two_machines(folder, *arguments):
    """`ddp-machines.yaml` twice on the loopback, one process each; exit statuses and what was said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    config = ["--config_file", str(REPOSITORY / "configs" / "accelerate" / "ddp-machines.yaml"), "--num_processes", "2"]
    meeting = ["--main_process_ip", "127.0.0.1", "--main_process_port", port]
    machines = [
        subprocess.Popen(
            [*ACCELERATE, *config, *meeting, "--machine_rank", rank, str(DRIVER), str(folder), *arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        said = [machine.communicate(timeout=600)[1] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()  # one that waits for the other, which ended; nothing where both did
    return [machine.returncode for machine in machines], said


def curve(folder, run, method):
    with (folder / run / method / "adapter" / "curve.csv").open() as stream:
        return list(csv.DictReader(stream))


def facts(folder, run, method):
    return json.loads((folder / run / method / "adapter" / "run.json").read_text())


def adapter(folder, run, method):
    return load_file(folder / run / method / "adapter" / "adapter_model.safetensors")


def assert_equal_curves(one, two):
    assert len(one) == len(two)
    for column in ("train_loss", "gradient_norm", "validation_loss"):
        pairs = [(float(a[column]), float(b[column])) for a, b in zip(one, two, strict=True) if a[column]]
        assert np.allclose(*zip(*pairs, strict=True), atol=1e-5, rtol=1e-5), column
    assert [row["tokens"] for row in one] == [row["tokens"] for row in two]


@pytest.mark.parametrize(("method", "also"), CASES if LONG else CASES[-1:])
def test_two_processes_have_the_losses_of_one(tmp_path, method, also):
    """The two come from `accelerate launch`; the one is this process."""
    settings = SETTINGS | also
    trainer.train(small_plan(tmp_path, method, run=f"one/{method}", train=settings))
    status, said = launch("ddp-cpu.yaml", tmp_path, "two", method, json.dumps(settings))
    assert status == 0, said
    assert len(curve(tmp_path, "one", method)) == 21
    assert_equal_curves(curve(tmp_path, "one", method), curve(tmp_path, "two", method))
    assert [facts(tmp_path, run, method)["processes"] for run in ("one", "two")] == [1, 2]


@minutes
@pytest.mark.parametrize("method", ["olora", "eva", "corda", "lora_ga", "miss", "gralora", "hira"])
def test_two_processes_have_the_losses_of_one_whatever_the_start_and_form(tmp_path, method):
    """Rank 1 starts from what rank 0 took from the rows."""
    settings = SETTINGS | {"max_steps": 6, "validate_every": 3}
    trainer.train(small_plan(tmp_path, method, run=f"one/{method}", train=settings))
    status, said = launch("ddp-cpu.yaml", tmp_path, "two", method, json.dumps(settings))
    assert status == 0, said
    assert_equal_curves(curve(tmp_path, "one", method), curve(tmp_path, "two", method))


def test_two_machines_have_the_losses_of_one(tmp_path):
    """Each with its own launcher and `--machine_rank`; rank 1 starts from the PiSSA factors that rank 0 left."""
    trainer.train(small_plan(tmp_path, "pissa", run="one/pissa", train=SETTINGS))
    statuses, said = launch_on_two_machines(tmp_path, "two", "pissa", json.dumps(SETTINGS))
    assert statuses == [0, 0], said
    assert_equal_curves(curve(tmp_path, "one", "pissa"), curve(tmp_path, "two", "pissa"))
    assert facts(tmp_path, "two", "pissa")["processes"] == 2


@pytest.mark.parametrize("method", ["pissa", "loraplus"] if LONG else ["pissa"])
def test_a_sharded_base_trains_the_adapter_of_a_whole_one(tmp_path, method):
    """`fsdp2.yaml` as it is shipped, over gloo: validations before and between the steps, of which one process has more
    batches than the other; the best adapter; and a run that is stopped there and continued here.
    """
    trainer.train(small_plan(tmp_path, method, run=f"one/{method}", train=UNEVEN))
    status, said = launch("fsdp2.yaml", tmp_path, "two", method, json.dumps(UNEVEN))
    assert status == 0, said
    assert facts(tmp_path, "two", method)["processes"] == 2
    assert_equal_curves(curve(tmp_path, "one", method), curve(tmp_path, "two", method))
    whole, sharded = (adapter(tmp_path, run, method) for run in ("one", "two"))
    assert whole.keys() == sharded.keys()
    assert all(torch.allclose(whole[name], sharded[name], atol=1e-4) for name in whole)


@minutes
def test_a_sharded_run_that_was_stopped_is_continued_by_one_process(tmp_path):
    trainer.train(small_plan(tmp_path, "pissa", run="whole/pissa", train=UNEVEN))
    status, said = launch("fsdp2.yaml", tmp_path, "stopped", "pissa", json.dumps(UNEVEN), "4")
    assert status != 0
    assert "stopped after step 5 of 6" in " ".join(said.split())
    trainer.train(small_plan(tmp_path, "pissa", run="stopped/pissa", train=UNEVEN))
    assert_equal_curves(curve(tmp_path, "whole", "pissa"), curve(tmp_path, "stopped", "pissa"))
