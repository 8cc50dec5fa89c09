"""What a training run will need, before it starts: counted on the meta device, memory at the worst noise level.

The worst noise level masks every answer token. Terms, per process, in bytes (B rows of L positions in a micro-batch, D
width, F MLP width, R rank, V words; s the bytes of the base's type):

    base          weights as stored; NF4 is 4.127 bits per weight (blocks of 64, doubly quantised scales), int8 8 bits
    adapter       4 bytes per parameter, as much for the gradients
    optimizer     8 bytes per parameter (AdamW), 2.04 for the 8-bit ones
    activations   what each block keeps for its backward pass, see `block_activation_bytes`; with activation
                  checkpointing the input of every block and one block's worth
    head          one chunk of logits with its workspace
    residual      PiSSA: nothing, it takes the place of the weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapters.batching import accumulation_steps, epoch_batches, padding_waste, share, tail_lengths
from adapters.config import MethodConfig, ModelConfig, TrainConfig
from adapters.methods import Method, assert_adapted, lora_config
from common.errors import InputError

GIB = 2**30
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # weight, 8-bit scale per block of 64, float32 scale per 256 scales
ALLOCATOR_SLACK = 1.06  # blocks that a caching allocator holds beyond what is live
CUDA_CONTEXT_BYTES = 0.6 * GIB
CPU_PROCESS_BYTES = 0.7 * GIB  # Python, torch and what they import


@dataclass(frozen=True)
class Memory:
    """Estimated peak of one process in bytes, by what it goes to."""

    base: float
    adapter: float
    optimizer: float
    activations: float
    head: float
    overhead: float

    @property
    def total(self) -> float:
        return self.base + self.adapter + self.optimizer + self.activations + self.head + self.overhead


@dataclass(frozen=True)
class Estimate:
    """The table of `--dry-run`."""

    trainable: int
    base_parameters: int
    modules: int
    rows: int
    tokens_per_epoch: int
    padding: float
    steps: int
    accumulation: int
    longest: int
    memory: Memory
    available: float
    device: str

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.available


def estimate(
    *,
    method: Method,
    model: ModelConfig,
    train: TrainConfig,
    config: MethodConfig,
    base: Path,
    lengths: np.ndarray,
    steps: int,
    seed: int,
    processes: int = 1,
) -> Estimate:
    """Count and estimate for a run; loads no weights.

    Args:
        lengths: tokens of every training row.
        steps: optimizer steps in all.

    Raises:
        llada.errors.CheckpointError, OSError: the base has no usable config.json.
    """
    from peft import get_peft_model

    from llada import LLaDAConfig, LLaDAModelLM

    shape = LLaDAConfig.from_pretrained(base)
    with torch.device("meta"):
        network = LLaDAModelLM(shape).requires_grad_(False)
        base_parameters = sum(parameter.numel() for parameter in network.parameters())
        blocks = sum(p.numel() for p in network.model.transformer.blocks.parameters())
        adapted = get_peft_model(network, lora_config(method, config))
    assert_adapted(adapted, config)
    trainable = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    batches = epoch_batches(lengths, train.global_batch_size, seed, 0)
    accumulation = accumulation_steps(train.global_batch_size, train.micro_batch_size, processes)
    width, positions = worst_micro_batch(lengths, batches, train, shape.max_sequence_length, accumulation, processes)
    memory = estimate_memory(shape, model, train, config, base_parameters, blocks, trainable, width, positions)
    available, device = available_memory()
    return Estimate(
        trainable=trainable,
        base_parameters=base_parameters,
        modules=sum(1 for _, module in adapted.named_modules() if hasattr(module, "lora_A")),
        rows=len(lengths),
        tokens_per_epoch=int(lengths.sum()),
        padding=padding_waste(lengths, batches),
        steps=steps,
        accumulation=accumulation,
        longest=int(lengths.max()),
        memory=memory,
        available=available,
        device=device,
    )


def worst_micro_batch(
    lengths: np.ndarray,
    batches: Sequence[np.ndarray],
    train: TrainConfig,
    limit: int,
    accumulation: int,
    processes: int,
) -> tuple[int, int]:
    """(L, B * L) of the largest micro-batch of the first process in one epoch, EOS tails included."""
    worst = (0, 0)
    for batch in batches:
        ends = lengths[batch] + tail_lengths(lengths[batch], train.eos_tail, limit)
        for part in share(len(batch), accumulation, 0, processes):
            if len(part):
                width = int(ends[part].max())
                worst = max(worst, (width, width * len(part)), key=lambda pair: pair[1])
    return worst


def estimate_memory(
    shape: Any,
    model: ModelConfig,
    train: TrainConfig,
    config: MethodConfig,
    base_parameters: int,
    block_parameters: int,
    trainable: int,
    width: int,
    positions: int,
) -> Memory:
    """The terms of the module's docstring. `width` is L and `positions` B * L of the largest micro-batch."""
    size = 4 if model.dtype == "float32" else 2
    per_weight = {"none": size, "nf4": NF4_BYTES, "int8": 1.0}[model.quantization]
    base = block_parameters * per_weight + (base_parameters - block_parameters) * size
    optimizer = trainable * (8 if train.optimizer == "adamw" else 2.04)
    block = block_activation_bytes(shape, config, size) * positions
    if model.activation_checkpointing:
        activations = block + shape.n_layers * shape.d_model * size * positions
    else:
        activations = block * shape.n_layers
    on_cuda = torch.cuda.is_available()
    chunk = (512 if on_cuda else 16) * 2**20
    # One chunk of float32 logits, its copy in the base's type, and the hidden states at the masked positions with
    # their gradient.
    head = chunk * (1 + 2 * size / 4) + 2 * positions * shape.d_model * size
    live = base + 2 * 4 * trainable + optimizer + activations + head
    overhead = live * (ALLOCATOR_SLACK - 1) + (CUDA_CONTEXT_BYTES if on_cuda else CPU_PROCESS_BYTES)
    return Memory(base, 8.0 * trainable, optimizer, activations, head, overhead)


def block_activation_bytes(shape: Any, config: MethodConfig, size: int) -> float:
    """Bytes per position that one block keeps for its backward pass, with frozen weights.

    A frozen linear layer keeps nothing for itself; an adapter keeps its input (in the compute type, and once more in
    float32 where autocast casts) and x A^T. Norms keep their input, attention its q, k, v and output, the gate its two
    factors and product.
    """
    D, F, R = shape.d_model, shape.mlp_hidden_size, config.rank
    KV = shape.n_kv_heads * (shape.d_model // shape.n_heads)
    norms = 2 * (2 * D)  # input and normalised output, twice
    attention = D + 2 * KV + D + D  # q, k, v after rotation, output, and the gathered output
    rotary = 2 * (D + KV) if size == 2 else 0  # float32 copies of q and k as they are rotated
    mlp = 4 * F  # gate, up, silu(gate), their product
    adapters = len(set(config.targets)) * R
    return size * (norms + attention + mlp + adapters) + size * rotary


def available_memory() -> tuple[float, str]:
    """Bytes that this process may use, and of what: free memory of the GPU, else what the machine or its cgroup
    leaves.
    """
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return float(free), torch.cuda.get_device_name()
    available = float("inf")
    memory = Path("/proc/meminfo")
    for line in memory.read_text(encoding="ascii").splitlines() if memory.exists() else []:
        if line.startswith("MemAvailable:"):
            available = float(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        available = min(available, float(text))
    return available, "CPU"


def table(name: str, result: Estimate, output: Path, run_folder: Path) -> list[tuple[str, str]]:
    """What `--dry-run` prints, label and value."""
    memory = result.memory
    parts = ", ".join(
        f"{label} {value / GIB:.2f}"
        for label, value in (
            ("base", memory.base),
            ("adapter and gradients", memory.adapter),
            ("optimizer", memory.optimizer),
            ("activations", memory.activations),
            ("head", memory.head),
            ("overhead", memory.overhead),
        )
    )
    return [
        ("method", name),
        ("trainable parameters", f"{result.trainable:,} of {result.base_parameters:,}"),
        ("modules adapted", f"{result.modules}"),
        ("training rows", f"{result.rows:,}, the longest {result.longest} tokens"),
        ("tokens per epoch", f"{result.tokens_per_epoch:,}, {result.padding:.1%} padding beside them"),
        ("optimizer steps", f"{result.steps:,} of {result.accumulation} forward passes per process"),
        (
            "memory at the worst noise",
            f"{memory.total / GIB:.2f} GiB of {result.available / GIB:.2f} ({result.device})",
        ),
        ("of that, GiB", parts),
        ("adapter", str(output)),
        ("resumable state", str(run_folder)),
    ]


def check_fits(result: Estimate, model: ModelConfig, train: TrainConfig) -> None:
    """Raises InputError with the knobs that help, where the estimate exceeds what there is."""
    if result.fits:
        return
    memory, cures = result.memory, []
    if train.micro_batch_size > 1:
        saved = memory.activations * (1 - (train.micro_batch_size // 2) / train.micro_batch_size) / GIB
        cures.append(f"train.micro_batch_size: {train.micro_batch_size // 2} saves about {saved:.1f} GiB")
    if not model.activation_checkpointing:
        cures.append(f"model.activation_checkpointing: true saves up to {0.9 * memory.activations / GIB:.1f} GiB")
    if model.quantization == "none":
        cures.append(f"model.quantization: nf4 saves about {0.64 * memory.base / GIB:.1f} GiB")
    raise InputError(
        f"this run needs about {memory.total / GIB:.1f} GiB and {result.available / GIB:.1f} GiB are free on "
        f"{result.device}; " + "; ".join(cures)
    )
