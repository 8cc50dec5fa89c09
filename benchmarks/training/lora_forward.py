"""CPU time of a training step by peft's own LoRA forward pass, by merged layers, and with each block as one function.

    python benchmarks/training/lora_forward.py [--lengths 70,128,256] [--rounds 12] [--output FILE]

The model has the shape of the embedded base, random weights and an adapter of rank 32; 8 rows, the answer half of each.
One thread, so that CPU time means the same on a busy machine; the three take turns, and the median step counts.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.attach import wrap
from adapters.config import MethodConfig
from adapters.forward import lean_forward_passes
from adapters.methods import METHODS
from common.files import write_json
from llada import LLaDAModelLM
from llada.diffusion.loss import masked_diffusion_loss
from llada.network.checkpoint import read_config
from llada.network.kernels import block_on_cpu

BASE = Path(__file__).resolve().parents[2] / "data_prep" / "bundled" / "base"
ROWS, RANK = 8, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="70,128,256", help="positions of a row")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = LLaDAModelLM(read_config(BASE)).requires_grad_(False)
    plain = wrap(base, METHODS["lora"], MethodConfig(rank=RANK), seed=0)
    lean = copy.deepcopy(plain)
    lean_forward_passes(lean)
    ways = {"peft": (plain, 0), "merged": (lean, 0), "blocks": (lean, sys.maxsize)}  # up to so long a block is whole
    found = []
    for length in map(int, options.lengths.split(",")):
        batch = rows(length, base.config.vocab_size)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds + 2):  # the first two warm up
            for name, (model, longest) in ways.items():
                block_on_cpu.LONGEST = longest
                times[name].append(step(model, batch))
        found.append({"length": length} | {name: statistics.median(taken[2:]) for name, taken in times.items()})
    settings = {"rows": ROWS, "rank": RANK, "rounds": options.rounds, "torch": torch.__version__}
    result = {"settings": settings, "seconds": found}
    print(json.dumps(result, indent=1))
    if options.output:
        write_json(options.output, result)


def rows(length: int, words: int) -> tuple[Any, ...]:
    """What `masked_diffusion_loss` takes."""
    maskable = (torch.arange(length) >= length // 2).expand(ROWS, length)
    t = torch.linspace(0.06, 0.94, ROWS)
    return torch.randint(8, words, (ROWS, length)), maskable, t, (torch.rand(ROWS, length) < t[:, None]) & maskable


def step(model: Any, batch: tuple[Any, ...]) -> float:
    """Seconds of CPU time of a forward and a backward pass."""
    began = time.process_time()
    masked_diffusion_loss(model, *batch).backward()
    taken = time.process_time() - began
    model.zero_grad()
    return taken


if __name__ == "__main__":
    main()
