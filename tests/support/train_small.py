"""Train on the small world of the unit tests in a process of its own: python train_small.py FOLDER RUN METHOD
[SETTINGS as JSON [STEPS]]; the adapter comes to lie in FOLDER/RUN/METHOD/adapter. After so many STEPS the first process
sends itself SIGTERM.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import accelerate.state
import torch

from tests.support.small_world import small_plan
from training import trainer
from training.run import processes


class TypesThatMayShard:
    """accelerate's DistributedType, for its check alone of which may become FSDP: processes on CPUs may."""

    def __getattr__(self, name: str) -> Any:
        return getattr(accelerate.DistributedType, "MULTI_CPU" if name == "MULTI_GPU" else name)


def stop_after(steps: int) -> None:
    """Let the first process of a training be told to stop while it takes this step, counted from 0."""
    step = trainer.Trainer.optimizer_step

    def stepping(instance: trainer.Trainer) -> float:
        if instance.step == steps and instance.processes.main:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(instance)

    trainer.Trainer.optimizer_step = stepping


if __name__ == "__main__":
    folder, run, method = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    settings = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    processes.use_all_cores = lambda: torch.set_num_threads(1)  # matrices this small are slower on two
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and not torch.cuda.is_available():
        accelerate.state.DistributedType = TypesThatMayShard()
    if len(sys.argv) > 5:
        stop_after(int(sys.argv[5]))
    trainer.train(small_plan(folder, method, run=f"{run}/{method}", train=settings))
