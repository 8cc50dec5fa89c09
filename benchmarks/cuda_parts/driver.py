"""One training through the project's own trainer, on random rows and a random base made on the device:

    accelerate launch benchmarks/cuda_parts/driver.py RUN.json      # started by the parts; see `Run`

What is not the trainer's own: rows and base are not read from files, and the time of each step is noted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from adapters.config import MethodConfig, ModelConfig
from benchmarks.cuda_parts.setting import GIB, random_network
from common.files import write_json
from llada import LLaDAConfig
from training import trainer
from training.batching import Rows
from training.config import TrainConfig
from training.memory.dry_run import estimate_of
from training.plan import TrainingPlan

WARM_UP = 5  # steps that do not count into the speed
T4_BYTES = 15e9


@dataclass(frozen=True)
class Run:
    """What a part asks for; JSON on the command line's file."""

    folder: str
    method: str
    shape: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    rows: int = 256
    length: int = 512
    name: str = "run"
    t4: bool = False  # the kernels and the memory of a T4 alone
    stop_after: int | None = None  # steps, then SIGKILL to itself
    one_device: bool = False  # several processes on one GPU, which NCCL refuses: gloo

    def write(self) -> Path:
        """The file from which the driver starts; and the base's config.json, before any process reads it."""
        path = Path(self.folder, f"{self.name}.json")
        write_json(path, asdict(self))
        LLaDAConfig(**self.shape).save_pretrained(self.base)
        return path

    @property
    def base(self) -> Path:
        return Path(self.folder, self.name, "base")

    @property
    def result(self) -> Path:
        return Path(self.folder, f"{self.name}.result.json")


class MadeUpPlan(TrainingPlan):
    """Rows of random words, every one of the same length, half of it prompt."""

    run: Run

    @classmethod
    def of(cls, run: Run) -> MadeUpPlan:
        folder = Path(run.folder)
        plan = cls(
            method_name=run.method,
            model=ModelConfig.model_validate(run.model),
            train=TrainConfig.model_validate(run.train),
            config=MethodConfig.model_validate(run.config),
            base=run.base,
            base_sha256="random",
            formatted=folder,
            output=folder / run.name / "adapter",
            scratch=folder / run.name / "scratch",
            seed=7,
            provenance={},
        )
        object.__setattr__(plan, "run", run)
        return plan

    @cached_property
    def rows(self) -> Rows:
        return self._rows(self.run.rows, seed=1)

    @cached_property
    def validation_rows(self) -> Rows:
        return self._rows(8, seed=2)

    @cached_property
    def data(self) -> dict[str, str]:
        return {"train": "random", "validation": "random"}

    def _rows(self, count: int, seed: int) -> Rows:
        words = min(v for k, v in self.run.shape.items() if k.endswith("_token_id"))
        tokens = np.random.default_rng(seed).integers(0, words, (count, self.run.length), dtype=np.int32)
        half = np.full(count, self.run.length // 2, dtype=np.int64)
        return Rows([f"row-{number}" for number in range(count)], list(tokens), half)


class Watch:
    """Notes when each step ended, how long the adapter took to attach, and the memory that the device has left."""

    def __init__(self, run: Run) -> None:
        self.run, self.ends, self.losses = run, [], []
        self.attach_seconds = 0.0
        trainer.load_unquantised = self.base
        self.attach, trainer.attach = trainer.attach, self.attaching
        self.step, trainer.Trainer.optimizer_step = trainer.Trainer.optimizer_step, self.stepping()

    def base(self, model: ModelConfig, folder: Path, device: Any = None, causal: bool = False) -> Any:
        assert not causal
        network = random_network(
            LLaDAConfig.from_pretrained(folder),
            torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            getattr(torch, model.dtype),
            shared=model.quantization != "none",
        )
        network.config.dtype = getattr(torch, model.dtype)
        return network

    def attaching(self, *arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        adapted = self.attach(*arguments, **options)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.attach_seconds = time.perf_counter() - began
        return adapted

    def stepping(self) -> Any:
        watch = self

        def step(self: trainer.Trainer) -> float:
            loss = watch.step(self)  # waits for the device: the loss is a number
            watch.ends.append(time.perf_counter())
            watch.losses.append(loss)
            if watch.run.stop_after is not None and len(watch.ends) > watch.run.stop_after:
                os.kill(os.getpid(), signal.SIGKILL)
            return loss

        return step

    def figures(self, plan: MadeUpPlan, processes: int) -> dict[str, Any]:
        """What is to be known of the run."""
        steps = np.diff(self.ends[min(WARM_UP, len(self.ends) // 2) :])
        seconds = median(steps) if len(steps) else None
        tokens = plan.train.global_batch_size * self.run.length
        found = {
            "steps": len(self.ends),
            "seconds_per_step": seconds,
            "tokens_per_second": tokens / seconds if seconds else None,
            "attach_seconds": self.attach_seconds,
            "finite": bool(np.isfinite(self.losses).all()),
            "first_loss": self.losses[0] if self.losses else None,
            "last_loss": self.losses[-1] if self.losses else None,
            "losses": self.losses,
            "processes": processes,
        }
        return found | memory(plan)


def memory(plan: MadeUpPlan) -> dict[str, Any]:
    """The estimate and what the run took at its peak, GiB; on a GPU with CUDA's own memory of this process."""
    estimated = estimate_of(plan).memory.total
    if not torch.cuda.is_available():
        from common.memory import peak_resident_bytes

        measured = float(peak_resident_bytes())
    else:
        free, total = torch.cuda.mem_get_info()
        context = total - free - torch.cuda.memory_reserved()
        measured = torch.cuda.max_memory_reserved() + context
    return {
        "estimated_gib": estimated / GIB,
        "measured_gib": measured / GIB,
        "estimate_error": estimated / measured - 1,
        "allocated_gib": torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else None,
    }


def as_on_a_t4() -> None:
    """The memory of a T4, and its attention kernels: no flash attention, nor cuDNN's, before Ampere."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, T4_BYTES / total))
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def main() -> None:
    run = Run(**json.loads(Path(sys.argv[1]).read_text()))
    if run.t4:
        as_on_a_t4()
    if run.one_device and torch.cuda.is_available():
        torch.distributed.init_process_group("gloo")  # accelerate takes the group that there is
        os.environ["LOCAL_RANK"] = "0"  # and the device of this number
    plan, watch = MadeUpPlan.of(run), Watch(run)
    trainer.train(plan, fits=True)
    if plan.is_first_process:
        write_json(run.result, watch.figures(plan, int(os.environ.get("WORLD_SIZE", "1"))))


if __name__ == "__main__":
    main()
