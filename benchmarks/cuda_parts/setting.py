"""What every part of `benchmarks/cuda.py` shares: its options, toy or full size, and how it reports a result."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.cuda_parts import RESULT
from llada import LLaDAConfig, LLaDAModelLM

GIB = 2**30
SHAPE_8B = {"d_model": 4096, "n_layers": 32, "n_heads": 32, "mlp_hidden_size": 12288}
WORDS_8B = {"vocab_size": 126464, "mask_token_id": 126336, "eos_token_id": 126081, "pad_token_id": 126081}
SHAPE_TOY = {"d_model": 64, "n_layers": 2, "n_heads": 4, "mlp_hidden_size": 192}
WORDS_TOY = {"vocab_size": 512, "mask_token_id": 511, "eos_token_id": 510, "pad_token_id": 510}


@dataclass(frozen=True)
class Setting:
    """How a part was started."""

    quick: bool
    folder: Path  # for what it writes
    end: float  # perf_counter() at which its time is over
    keep: Path | None = None  # a folder for what shall outlast the command
    cases: tuple[str, ...] = ()  # names of the results that are wanted; none: all

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.quick else "cuda")

    def wants(self, name: str) -> bool:
        return not self.cases or name in self.cases

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.perf_counter()

    @property
    def shape(self) -> dict[str, int]:
        """Of LLaDA-8B, or toy sizes: keyword arguments of LLaDAConfig."""
        return SHAPE_TOY | WORDS_TOY if self.quick else SHAPE_8B | WORDS_8B

    def config(self) -> LLaDAConfig:
        return LLaDAConfig(**self.shape)


def setting(description: str | None) -> Setting:
    """Read the options with which `benchmarks/cuda.py` starts a part.

    Raises:
        SystemExit: there is no GPU and --quick was not given.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy size on the CPU")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--case", action="append", default=[])
    options = parser.parse_args()
    if not options.quick and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here; --quick runs on the CPU")
    options.folder.mkdir(parents=True, exist_ok=True)
    return Setting(
        options.quick, options.folder, time.perf_counter() + options.seconds, options.keep, tuple(options.case)
    )


def record(name: str, **figures: Any) -> None:
    """Hand a result to `benchmarks/cuda.py`, which writes it to the JSON at once."""
    print(f"{RESULT}{json.dumps({'name': name} | figures)}", flush=True)


def lacks_bitsandbytes(name: str) -> bool:
    """Say that a result needs bitsandbytes where it is not installed."""
    if find_spec("bitsandbytes") is not None:
        return False
    record(name, not_run="bitsandbytes is not installed")
    return True


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def kernels(work: Callable[[], Any], most: int = 20) -> dict[str, Any]:
    """Where the time of some work on the GPU goes: milliseconds and launches of the `most` kernels that take the
    longest, milliseconds of all, and on the clock."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    clock = time.perf_counter() - began
    events = [event for event in recorded.key_averages() if event.self_device_time_total > 0]
    events.sort(key=lambda event: -event.self_device_time_total)
    longest = {event.key[:100]: [event.self_device_time_total / 1e3, event.count] for event in events[:most]}
    total = sum(event.self_device_time_total for event in events) / 1e3
    return {"longest": longest, "total_milliseconds": total, "clock_milliseconds": clock * 1e3}


def random_network(config: LLaDAConfig, device: torch.device, dtype: torch.dtype, shared: bool = False) -> LLaDAModelLM:
    """A frozen network of random weights, made on the device: nothing of it passes through the host.

    Args:
        shared: all blocks share the memory of one block's weights, 0.4 GB at 8 B. For what quantises them one by one:
            a GPU too small for the 16-bit base can then hold it, and no time depends on the values.
    """
    with torch.device("meta"):
        network = LLaDAModelLM(config)
    generator = torch.Generator(device).manual_seed(0)
    first: dict[str, torch.Tensor] = {}
    for name, parameter in list(network.named_parameters()):
        kind = name.split(".blocks.")[-1].partition(".")[2] if shared and ".blocks." in name else name
        if kind not in first:
            first[kind] = _random(parameter, generator, device, dtype)
        owner, _, last = name.rpartition(".")
        setattr(network.get_submodule(owner), last, nn.Parameter(first[kind], requires_grad=False))
    return network.eval()


def _random(like: torch.Tensor, generator: torch.Generator, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Norms are one; matrices have standard deviation 0.02, as LLaDA's."""
    value = torch.empty(like.shape, device=device, dtype=dtype)
    return value.fill_(1) if value.dim() == 1 else value.normal_(0, 0.02, generator=generator)
