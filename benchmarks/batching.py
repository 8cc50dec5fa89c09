"""Padding: the share of padded positions in the trainer's batches, and useful tokens per second against full padding.

    python benchmarks/batching.py --formatted artifacts/mini/formatted --base artifacts/mini/inputs/base

`bucketed` takes the trainer's own batches (rows of like length together), `shuffled` as many rows in random order, each
batch padded to its longest row, and `full` pads every row to --length, as the guideline's recipe does. All three do
forward and backward of the masked-diffusion loss on a LoRA adapter, in turns, round by round; the median round counts.
Useful tokens are those of prompt, answer and supervised EOS tail. Prints its settings, and writes JSON with --output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from adapters.attach import attach
from adapters.base import load_unquantised
from adapters.config import MethodConfig, ModelConfig
from adapters.forward import lean_forward_passes
from adapters.methods import METHODS
from training.batching import Batch, Rows, collate, epoch_batches, padding_waste, read_rows, tail_lengths
from training.config import TrainConfig
from training.global_batch import MicroBatch, step_noise
from training.objective import Objective


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formatted", type=Path, required=True, help="folder with train.parquet")
    parser.add_argument("--base", type=Path, required=True, help="folder of a base in the published layout")
    parser.add_argument("--batch", type=int, default=8, help="rows per batch")
    parser.add_argument("--length", type=int, default=512, help="what `full` pads every row to")
    parser.add_argument("--batches", type=int, default=6, help="batches per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()

    rows = read_rows(options.formatted / "train.parquet")
    policy = TrainConfig.model_validate({}).eos_tail
    step = training_step(options)
    random = np.random.default_rng(options.seed)
    trainers = epoch_batches(rows.lengths, options.batch, options.seed, 0)
    shuffled = np.array_split(random.permutation(len(rows)), len(trainers))
    chosen = random.choice(len(trainers), options.batches, replace=False)
    batches = {
        "bucketed": [padded(rows, trainers[i], policy, None) for i in chosen],
        "shuffled": [padded(rows, shuffled[i], policy, None) for i in chosen],
        "full": [padded(rows, trainers[i], policy, options.length) for i in chosen],
    }
    seconds: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(options.rounds + 1):
        for name, own in batches.items():
            begin = time.perf_counter()
            for number, batch in enumerate(own):
                step(number, batch)
            seconds[name].append(time.perf_counter() - begin)
    results: dict[str, dict[str, float]] = {}
    for name, own in batches.items():
        useful, positions = sum(batch.tokens for batch in own), sum(batch.input_ids.numel() for batch in own)
        median = statistics.median(seconds[name][1:])  # the first round warms up
        results[name] = {"useful_tokens_per_second": useful / median, "padding": 1 - useful / positions}
    report: dict[str, Any] = {
        "settings": {
            **{key: getattr(options, key) for key in ("batch", "length", "batches", "rounds", "rank", "seed", "dtype")},
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "load": round(os.getloadavg()[0], 1),
            "torch": torch.__version__,
            "rows": len(rows),
            "mean_tokens": float(rows.lengths.mean()),
        },
        "padding_of_the_epoch": {
            "bucketed": padding_waste(rows.lengths, trainers),
            "shuffled": padding_waste(rows.lengths, shuffled),
            "full": 1 - float(rows.lengths.sum()) / (options.length * len(rows)),
        },
        "results": results,
        "bucketed_over_full": ratio(results, "full"),
        "bucketed_over_shuffled": ratio(results, "shuffled"),
    }
    print(json.dumps(report, indent=2))
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def ratio(results: dict[str, dict[str, float]], other: str) -> float:
    return results["bucketed"]["useful_tokens_per_second"] / results[other]["useful_tokens_per_second"]


def training_step(options: argparse.Namespace) -> Callable[[int, Batch], None]:
    """Forward and backward of the trainer's objective on a fresh LoRA adapter."""
    model, device = ModelConfig.model_validate({"dtype": options.dtype}), torch.device(options.device)
    base = load_unquantised(model, options.base, device)
    with tempfile.TemporaryDirectory() as cache:
        adapted = attach(
            base, METHODS["lora"], MethodConfig.model_validate({"rank": options.rank}), model, Path(cache), options.seed
        )
    lean_forward_passes(adapted.model)
    objective = Objective(adapted.model, "answer_length", getattr(torch, options.dtype)).to(device)

    def step(number: int, batch: Batch) -> None:
        positions = np.arange(len(batch.input_ids))
        noise = step_noise(options.seed, number, len(positions), stratified=True)
        micro = MicroBatch(batch, noise.levels, noise.masks(positions, batch.maskable))
        loss = objective(micro.to(device), float(len(positions)))
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def padded(rows: Rows, batch: np.ndarray, policy: str, width: int | None) -> Batch:
    """A batch padded to its longest row, or to `width`."""
    tails = tail_lengths(rows.lengths[batch], policy, 512)
    made = collate([rows.tokens[i] for i in batch], rows.prompt_lengths[batch], tails, 0, 0)
    if width is None or made.input_ids.shape[1] >= width:
        return made
    real = torch.ones_like(made.input_ids) if made.attention_mask is None else made.attention_mask
    more = (0, width - made.input_ids.shape[1])
    grow = torch.nn.functional.pad
    return Batch(grow(made.input_ids, more), grow(real, more), grow(made.maskable, more))


if __name__ == "__main__":
    main()
