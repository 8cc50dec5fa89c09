"""The processes of one training: accelerate's view of them, what they sum and average, what each is to itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from common.environment import threads_of_process
from common.errors import InputError
from training.plan import TrainingPlan


def make_accelerator(plan: TrainingPlan) -> Any:
    """accelerate's view of the processes. Precision is the model's own business (see `Objective`).

    Raises:
        InputError: a tracker is not installed.
    """
    from accelerate import Accelerator

    missing = [name for name in plan.train.trackers if find_spec(name) is None]
    if missing:
        raise InputError([f"train.trackers: {name} is not installed; run `pip install {name}`" for name in missing])
    use_all_cores()
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",
        log_with=list(plan.train.trackers) or None,
        project_dir=str(plan.scratch / "trackers") if plan.train.trackers else None,
    )
    if plan.train.trackers:
        accelerator.init_trackers(plan.method_name, config={})
    return accelerator


def use_all_cores() -> None:
    """On the CPU, take the processors that are granted, or as many as the user asked for; `accelerate launch` would
    leave one thread to each process.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(threads_of_process())


@contextmanager
def processes_end(accelerator: Any) -> Iterator[None]:
    """Leave the process group and the trackers in order."""
    try:
        yield
    finally:
        accelerator.end_training()


def check_sharding(sharded: bool, causal: bool, method: str) -> None:
    """Raises InputError for a twin under FSDP: `fsdp2.yaml` names the diffusion network's block alone."""
    if sharded and causal:
        raise InputError(
            f"--method: {method}: FSDP shards the diffusion network's blocks, not those of an autoregressive one; "
            "launch with configs/accelerate/ddp.yaml or single.yaml"
        )


class Processes:
    """What the training asks of accelerate."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.main: bool = accelerator.is_main_process
        self.rank: int = accelerator.process_index
        self.count: int = accelerator.num_processes
        self.device: torch.device = accelerator.device
        self.sharded = str(accelerator.distributed_type).endswith("FSDP")

    def prepare(self, objective: nn.Module, adapter_modules: list[nn.Module], optimizer: Any) -> tuple[Any, Any]:
        """The objective as DDP or FSDP wraps it, and the optimizer.

        The base is sharded, the small adapters stay whole on every process: saving, resuming and clipping are then
        those of one process. FSDP does not reduce what it ignores; `average_gradients` does.
        """
        if self.sharded:
            self.accelerator.state.fsdp_plugin.ignored_modules = adapter_modules
        return self.accelerator.prepare(objective, optimizer)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average the adapters' gradients over the processes, in one piece, as DDP does by itself."""
        if not self.sharded:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the processes, on the device of `value`."""
        if self.count == 1:
            return value
        return self.accelerator.reduce(value.to(self.device), reduction="sum").to(value.device)

    def agreed_signal(self, own: int | None) -> int:
        """The signal to stop for, or 0; the same on every process, so that they stop after the same step."""
        if self.count == 1:
            return own or 0
        signals = self.accelerator.gather(torch.tensor([own or 0], device=self.device))
        return int(signals.max())
