"""Train on the small world of the unit tests in a process of its own: python train_small.py FOLDER RUN METHOD
[SETTINGS as JSON]; the adapter comes to lie in FOLDER/RUN/METHOD/adapter.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from tests.support.small_world import small_plan
from training import trainer
from training.run import processes

if __name__ == "__main__":
    folder, run, method = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    settings = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    processes.use_all_cores = lambda: torch.set_num_threads(1)  # matrices this small are slower on two
    trainer.train(small_plan(folder, method, run=f"{run}/{method}", train=settings))
