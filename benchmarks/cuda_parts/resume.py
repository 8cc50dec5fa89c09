"""Does a training that was killed end as one that was not? And do two processes on one device see the losses of one?

A small network, so that three trainings take a minute. Batches, noise and dropout are functions of (seed, step), so on
a CPU the bytes are the same (`benchmarks/kill_resume.py`). On a GPU kernels that add in no fixed order (the gradient of
a gather, split matrix products) may differ in the last bits from run to run. An undisturbed repetition beside the
killed run tells that from a fault of resuming: "repeated" is how far two whole runs differ, "resumed" the killed one.

Two processes on one GPU go over gloo, because NCCL refuses two ranks on one device.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file

from benchmarks.cuda_parts.driver import Run
from benchmarks.cuda_parts.launching import figures, start
from benchmarks.cuda_parts.setting import SHAPE_TOY, WORDS_TOY, Setting, record, setting

SHAPE_SMALL = {"d_model": 1024, "n_layers": 8, "n_heads": 8, "mlp_hidden_size": 3072} | WORDS_TOY
TOLERANCE = 1e-5  # of losses of two processes, float32
WORSE = 10  # times the difference of two undisturbed runs, at most


def main() -> None:
    given = setting(__doc__)
    whole, again, killed, pair = (small_run(given, name) for name in ("whole", "again", "killed", "pair"))
    undisturbed = [(run, start(run, None)) for run in ((whole,) if given.quick else (whole, again))]
    stopped = start(replace(killed, stop_after=whole.train["max_steps"] // 2), None)
    found = {run.name: figures(process, run, given.left) for run, process in undisturbed}
    stopped.wait(given.left)
    continued = [(killed, start(killed, None)), (pair, start(pair, "ddp-cpu.yaml"))]
    found |= {run.name: figures(process, run, given.left) for run, process in continued}
    faults = resumed(whole, again, killed, found) + shared(found)
    if faults:
        raise SystemExit("; ".join(faults))


def small_run(given: Setting, name: str) -> Run:
    shape = SHAPE_TOY | WORDS_TOY if given.quick else SHAPE_SMALL
    steps = 8 if given.quick else 40
    train = {
        "global_batch_size": 4, "micro_batch_size": 2, "max_steps": steps, "epochs": 99, "learning_rate": 1e-3,
        "eos_tail": "none", "validate_every": steps, "validation_draws": 1, "checkpoint_every": 2, "log_every": 1,
    }  # fmt: skip
    length = 16 if given.quick else 128
    return Run(str(given.folder), "lora", shape, {}, train, {"rank": 4}, 64, length, name, one_device=name == "pair")


def resumed(whole: Run, again: Run, killed: Run, found: dict[str, dict[str, Any]]) -> list[str]:
    """The killed and continued run against the whole one, and that against its repetition."""
    alone = [(name, value) for name, value in found.items() if name != "pair"]
    broken = [f"{name}: {value['fault']}" for name, value in alone if "fault" in value]
    if broken:
        record("kill and resume", faults=broken)
        return broken
    repeated = 0.0 if again.name not in found else difference(whole, again)
    after = difference(whole, killed)
    steps = found["killed"]["steps"]
    record("kill and resume", steps_after_resuming=steps, repeated=repeated, resumed=after, identical=after == 0)
    fresh = [] if 0 < steps < whole.train["max_steps"] else ["the killed run did not continue from a checkpoint"]
    return fresh + ([f"resuming changes the adapter by {after:.2g}"] if after > WORSE * repeated else [])


def difference(one: Run, two: Run) -> float:
    """Largest difference of any adapter weight, relative to the largest weight."""
    first, second = (
        load_file(Path(run.folder, run.name, "adapter", "last", "adapter_model.safetensors")) for run in (one, two)
    )
    largest = max(float(tensor.abs().max()) for tensor in first.values())
    return max(float((first[name] - second[name]).abs().max()) for name in first) / largest


def shared(found: dict[str, dict[str, Any]]) -> list[str]:
    """Losses of two processes against those of one."""
    broken = [f"{name}: {found[name]['fault']}" for name in ("whole", "pair") if "fault" in found[name]]
    if broken:
        record("two processes", faults=broken)
        return broken
    one, two = (np.array(found[name]["losses"]) for name in ("whole", "pair"))
    apart = float(np.abs(one - two).max()) if len(one) == len(two) else float("inf")
    record("two processes", processes=found["pair"]["processes"], largest_loss_difference=apart, tolerance=TOLERANCE)
    return [] if apart <= TOLERANCE else [f"two processes: losses differ by {apart:.2g}"]


if __name__ == "__main__":
    main()
