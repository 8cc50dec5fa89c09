"""What a training run will need, before it starts: counted on the meta device, memory at the worst noise level.

The worst noise level masks every answer token. Terms, per process, in bytes (B rows of L positions in a micro-batch, D
width, F MLP width, R rank, V words; s the bytes of the base's type):

    base          weights as stored; NF4 is 4.127 bits per weight (blocks of 64, doubly quantised scales), int8 8 bits
    adapter       4 bytes per parameter, as much for the gradients
    optimizer     8 bytes per parameter (AdamW), 2.04 for the 8-bit ones
    activations   what each block keeps for its backward pass, see `block_activation_bytes`; with activation
                  checkpointing the input of every block and one block's worth; and what one block's pass works with
    head          a slice of logits, the hidden states at the masked positions and their gradient
    overhead      the process itself before it holds any of this, and what the allocator holds beyond what is live
    residual      PiSSA: nothing, it takes the place of the weight; DoRA: see `decomposition_bytes`, and
                  `weight_norm_bytes` for what it works with

`tests/unit/training/memory/test_estimate.py` compares the activations with what autograd really keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from adapters.attach import adapted_layers, assert_adapted
from adapters.base import NF4_BLOCK, PROJECTIONS, STATISTICS_BLOCK
from adapters.config import MethodConfig, ModelConfig
from adapters.forms import peft_config
from adapters.methods import Method
from common.errors import InputError
from common.memory import resident_bytes
from llada.diffusion.cross_entropy import CHUNK_BYTES_CPU, CHUNK_BYTES_DEVICE
from llada.network.kernels.block_on_cpu import LARGEST, LONGEST
from training.batching import accumulation_steps, epoch_batches, padding_waste, share, tail_lengths
from training.config import TrainConfig

if TYPE_CHECKING:
    from llada.network.modeling import LLaDAConfig

ForwardPass = Literal["merged", "added", "peft"]
GIB = 2**30
# Weight, 8-bit scale per block, float32 scale per block of scales.
NF4_BYTES = 0.5 + 1 / NF4_BLOCK + 4 / (NF4_BLOCK * STATISTICS_BLOCK)
ALLOCATOR_SLACK = 1.06  # blocks that a caching allocator holds beyond what is live
CUDA_CONTEXT_BYTES = 0.6 * GIB
CPU_PROCESS_BYTES = 0.55 * GIB  # Python, torch and what they import, where the system does not tell
CPU_KERNEL_BYTES = 40 * 2**20  # code and buffers of the matrix kernels, resident from the first step on (measured)


@dataclass(frozen=True)
class Machine:
    """What a process may use."""

    cuda: bool
    available: float  # bytes
    name: str


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

    def parts(self) -> dict[str, float]:
        """Bytes by part, in the order in which they are shown."""
        return asdict(self)


@dataclass(frozen=True)
class Counts:
    """Numbers of weights and modules."""

    base: int
    blocks: int  # of the base, those inside the blocks
    adapted: int  # of the blocks, those that carry an adapter
    trainable: int
    modules: int


@dataclass(frozen=True)
class Workload:
    """What decides a run's memory besides how the base is stored: network, adapter, rows."""

    shape: LLaDAConfig
    counts: Counts
    method: Method
    config: MethodConfig
    lengths: np.ndarray  # tokens of every training row
    seed: int
    processes: int = 1

    def memory(self, model: ModelConfig, train: TrainConfig, machine: Machine) -> Memory:
        """The terms of the module's docstring."""
        length, positions = self.worst_micro_batch(train)
        shape, counts = self.shape, self.counts
        size = type_bytes(model)
        per_weight = {"none": size, "nf4": NF4_BYTES, "int8": 1.0}[model.quantization]
        base = counts.blocks * per_weight + (counts.base - counts.blocks) * size
        optimizer = counts.trainable * (8 if train.optimizer == "adamw" else 2.04)
        activations = self._activations(model, length, positions, machine.cuda)
        head = head_bytes(shape, size, positions, machine.cuda)
        live = base + 8 * counts.trainable + optimizer + activations + head
        process = CUDA_CONTEXT_BYTES if machine.cuda else process_bytes() + CPU_KERNEL_BYTES
        return Memory(
            base, 8.0 * counts.trainable, optimizer, activations, head, live * (ALLOCATOR_SLACK - 1) + process
        )

    def worst_micro_batch(self, train: TrainConfig) -> tuple[int, int]:
        """(L, B * L) of the largest micro-batch of the first process in one epoch, EOS tails included."""
        batches = epoch_batches(self.lengths, train.global_batch_size, self.seed, 0)
        accumulation = accumulation_steps(train.global_batch_size, train.micro_batch_size, self.processes)
        limit = self.shape.max_sequence_length
        return worst_micro_batch(self.lengths, batches, train, limit, accumulation, self.processes)

    def tokens_per_epoch(self, train: TrainConfig) -> int:
        """Positions of one epoch that are not padding: rows with their supervised EOS tails, as the trainer counts."""
        batches = epoch_batches(self.lengths, train.global_batch_size, self.seed, 0)
        limit = self.shape.max_sequence_length
        tails = [tail_lengths(self.lengths[b], train.eos_tail, limit, 0.5) for b in batches]  # random ones: the mean
        return sum(int((self.lengths[b] + tail).sum()) for b, tail in zip(batches, tails, strict=True))

    def _activations(self, model: ModelConfig, length: int, positions: int, cuda: bool) -> float:
        shape, size, stream = self.shape, type_bytes(model), stream_bytes(model)
        kept = self.block_bytes(model, length, positions, cuda)
        gradients = (3 * shape.mlp_hidden_size + 2 * shape.d_model) * stream * positions
        largest = shape.d_model * shape.mlp_hidden_size * size
        unpacked = {"none": 0, "nf4": 1, "int8": 2}[model.quantization] * largest
        if model.activation_checkpointing:
            kept += shape.n_layers * shape.d_model * stream * positions
            if forward_pass(model, self.method, self.config) == "added":  # x A^T, which is not computed again
                kept += shape.n_layers * size * self.config.rank * len(set(self.config.targets)) * positions
        else:
            kept *= shape.n_layers
        norms = weight_norm_bytes(shape, self.config, size) if self.method.weight_decomposed else 0
        return kept + max(gradients + unpacked, norms)  # backward and forward work, never at the same time

    def block_bytes(self, model: ModelConfig, length: int, positions: int, cuda: bool) -> float:
        """Bytes that one block keeps for its backward pass: activations, and weights that were formed on the way.

        Args:
            length: positions of a row. positions: of all rows.
        """
        size, method, config = type_bytes(model), self.method, self.config
        forward = forward_pass(model, method, config)
        spared = method.form == "miss"
        kept = positions * block_activation_bytes(self.shape, config, size, forward, cuda, stream_bytes(model), spared)
        adapted = self.counts.adapted / self.shape.n_layers
        if method.form == "hira":
            kept -= positions * size * config.rank * len(set(config.targets))  # it has no A x
            kept += size * adapted * (1 if model.quantization == "none" else 2)  # W times B A, and W unpacked
        if forward == "merged":
            kept += 4 * adapted  # W + s B A
            heads, whole = self.shape.n_heads, set(config.targets) == set(PROJECTIONS)
            small = length <= LONGEST and self.shape.d_model * self.shape.mlp_hidden_size <= LARGEST
            if not cuda and small and heads == self.shape.n_kv_heads and whole:
                kept += 4 * positions * heads * length  # `block_on_cpu`: what attention gives to each key
        if method.weight_decomposed:
            kept += positions * decomposition_bytes(self.shape, config, size)
            # With dropout peft multiplies by W a second time, and keeps the copy of W that was unpacked or cast for it.
            plain = model.quantization == "none" and model.dtype == "float32"
            kept += size * adapted if config.dropout > 0 and not plain else 0
        return kept


@dataclass(frozen=True)
class Estimate:
    """What one process of a training needs on a machine; what `plan` and `--dry-run` print."""

    workload: Workload
    model: ModelConfig
    train: TrainConfig
    machine: Machine
    memory: Memory

    @property
    def fits(self) -> bool:
        return self.memory.total <= self.machine.available

    @property
    def padding(self) -> float:
        """Share of padded positions in one epoch."""
        lengths = self.workload.lengths
        return padding_waste(lengths, epoch_batches(lengths, self.train.global_batch_size, self.workload.seed, 0))

    @property
    def accumulation(self) -> int:
        """Forward passes of each process per optimizer step."""
        train = self.train
        return accumulation_steps(train.global_batch_size, train.micro_batch_size, self.workload.processes)


def estimate(
    method: Method,
    config: MethodConfig,
    model: ModelConfig,
    train: TrainConfig,
    shape: LLaDAConfig,
    lengths: np.ndarray,
    seed: int,
    *,
    processes: int = 1,
    machine: Machine | None = None,
) -> Estimate:
    """Count and estimate one training; loads no weights.

    Args:
        lengths: tokens of every training row.
        machine: None is this one.
    """
    workload = Workload(shape, count(shape, method, config), method, config, lengths, seed, processes)
    machine = this_machine() if machine is None else machine
    return Estimate(workload, model, train, machine, workload.memory(model, train, machine))


def count(shape: LLaDAConfig, method: Method, config: MethodConfig) -> Counts:
    """Count weights on the meta device, with the adapter as peft puts it on."""
    from peft import get_peft_model

    from llada.network.modeling import network_of

    with torch.device("meta"):
        network = network_of(shape).requires_grad_(False)
        base = sum(parameter.numel() for parameter in network.parameters())
        blocks = sum(p.numel() for p in network.model.blocks.parameters())
        adapted: Any = get_peft_model(network, peft_config(method, config, shape.layout))
    assert_adapted(adapted, config)
    layers = list(adapted_layers(adapted).values())
    return Counts(
        base=base,
        blocks=blocks,
        adapted=sum(layer.get_base_layer().weight.numel() for layer in layers),
        trainable=sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad),
        modules=len(layers),
    )


def worst_micro_batch(
    lengths: np.ndarray,
    batches: Sequence[np.ndarray],
    train: TrainConfig,
    limit: int,
    accumulation: int,
    processes: int,
) -> tuple[int, int]:
    """(L, B * L) of the largest micro-batch of the first process in these global batches, EOS tails included."""
    worst = (0, 0)
    for batch in batches:
        ends = lengths[batch] + tail_lengths(lengths[batch], train.eos_tail, limit)
        for part in share(len(batch), accumulation, 0, processes):
            if len(part):
                width = int(ends[part].max())
                worst = max(worst, (width, width * len(part)), key=lambda pair: pair[1])
    return worst


def type_bytes(model: ModelConfig) -> int:
    """Bytes of one number of the base's type."""
    return 4 if model.dtype == "float32" else 2


def stream_bytes(model: ModelConfig) -> int:
    """Bytes of one number of the residual stream and the MLP's gate: float32 on a float16 base."""
    return 2 if model.dtype == "bfloat16" else 4


def forward_pass(model: ModelConfig, method: Method, config: MethodConfig) -> ForwardPass:
    """Which forward pass of `adapters.forward` the adapted layers take, or peft's own."""
    if config.dropout > 0 or method.weight_decomposed or method.form != "lora" or model.quantization == "int8":
        return "peft"
    return "merged" if model.quantization == "none" and model.dtype == "float32" else "added"


def block_activation_bytes(
    shape: LLaDAConfig,
    config: MethodConfig,
    size: int,
    forward: ForwardPass,
    cuda: bool,
    stream: int | None = None,
    spares_inputs: bool = False,
) -> float:
    """Bytes per position that one block keeps for its backward pass, with frozen weights.

    Norms keep their input; attention its rotated q, k, v (keys and values repeated to all heads) and its output; the
    gate its two factors and silu. A frozen linear layer keeps nothing for itself, an adapter its input. Layers with the
    same input keep one copy of it (and attn_out none: it is attention's output, in float16 scaled), but in peft's
    forward pass under autocast, or with dropout, every layer its own. All but the merged ones keep x A^T, too.

    Args:
        stream: bytes of a number of the residual stream and the gate, where not `size` (float16: 4).
        spares_inputs: MiSS keeps sums of R numbers in place of its input.
    """
    D, F, R = shape.d_model, shape.mlp_hidden_size, config.rank
    targets = set(config.targets)
    stream = stream or size
    kept = stream * (2 * D + 3 * F) + size * 4 * D
    if forward == "added" or (size == 4 and config.dropout == 0):
        inputs = D * (bool(targets & {"q_proj", "k_proj", "v_proj"}) + bool(targets & {"ff_proj", "up_proj"}))
        inputs += D if "attn_out" in targets and stream > size else 0
    else:
        inputs = D * len(targets - {"ff_out"})
    inputs += F if "ff_out" in targets else 0
    mask = 0 if config.dropout == 0 else inputs * (1 if cuda else 4)  # what was dropped: bool on CUDA, else a float
    low = 0 if forward == "merged" else size * R * len(targets)
    return kept + (0 if spares_inputs else size * inputs) + mask + low


def projection_widths(shape: LLaDAConfig, config: MethodConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of every adapted projection of one block."""
    D, F = shape.d_model, shape.mlp_hidden_size
    keys = shape.n_kv_heads * shape.head_dim
    widths = {"k_proj": (D, keys), "v_proj": (D, keys), "ff_proj": (D, F), "up_proj": (D, F), "ff_out": (F, D)}
    return [widths.get(name, (D, D)) for name in sorted(set(config.targets))]


def decomposition_bytes(shape: LLaDAConfig, config: MethodConfig, size: int) -> float:
    """Bytes per position that DoRA keeps in one block beyond LoRA.

    peft adds (m / |W'| - 1) x W^T + (m / |W'|) x A^T B^T to x W^T. The magnitude m learns, so both of its factors are
    kept: two tensors as wide as the output. |W'| is a constant in the backward pass (section 4.3 of the paper).
    """
    return 2 * size * sum(outputs for _, outputs in projection_widths(shape, config))


def weight_norm_bytes(shape: LLaDAConfig, config: MethodConfig, size: int) -> float:
    """The most bytes that DoRA works with in the forward pass of one layer, to take the norm of W' = W + s B A.

    peft forms B A by sending the identity through the adapter, in the base's type; then in float32 B A, s B A and
    their sum with W, and W itself where it is not float32 already.
    """
    matrices = 12 if size == 4 else 16
    return float(max(size * i * i + matrices * i * o for i, o in projection_widths(shape, config)))


def head_bytes(shape: LLaDAConfig, size: int, positions: int, cuda: bool) -> float:
    """The final norm and `llada.diffusion.cross_entropy` when every position of the micro-batch is masked.

    A slice of float32 logits, in 16 bits one more copy of it; per position, in float32, the norm's input, the running
    sum and the target's row, and in the base's type the hidden state and its gradient.
    """
    slice_bytes = min(CHUNK_BYTES_DEVICE if cuda else CHUNK_BYTES_CPU, 4.0 * positions * shape.embedding_size)
    copies = 1 + (size / 4 if size < 4 else 0)
    return slice_bytes * copies + positions * shape.d_model * (3 * 4 + 2 * size)


def process_bytes() -> float:
    """Resident memory of this process. It should have imported what a training imports (`training.trainer`) and read
    rows, and hold little else.
    """
    resident = resident_bytes()
    return CPU_PROCESS_BYTES if resident is None else float(resident)


def this_machine() -> Machine:
    """The GPU with its free memory; else the CPU with what the machine or its cgroup leaves."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return Machine(True, float(free), torch.cuda.get_device_name())
    available = float("inf")
    memory = Path("/proc/meminfo")
    for line in memory.read_text(encoding="ascii").splitlines() if memory.exists() else []:
        if line.startswith("MemAvailable:"):
            available = float(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        available = min(available, float(text))
    return Machine(False, available, "CPU")


def remedies(short: Estimate) -> Iterator[tuple[str, Memory]]:
    """Settings that need less memory, each with what the run then needs: what costs little first, NF4 last.

    A smaller micro-batch changes no result; recomputation costs time; quantisation changes the base.
    """

    def needed(model: ModelConfig, train: TrainConfig) -> Memory:
        return short.workload.memory(model, train, short.machine)

    model, smaller = short.model, short.train
    while smaller.micro_batch_size > 1:
        smaller = smaller.model_copy(update={"micro_batch_size": smaller.micro_batch_size // 2})
        yield f"train.micro_batch_size={smaller.micro_batch_size}", needed(model, smaller)
    one_row = f"train.micro_batch_size={smaller.micro_batch_size}"
    frugal = model.model_copy(update={"activation_checkpointing": True})
    if not model.activation_checkpointing:
        yield "model.activation_checkpointing=true", needed(frugal, short.train)
        yield f"model.activation_checkpointing=true {one_row}", needed(frugal, smaller)
    for kind in ("int8", "nf4") if model.quantization == "none" else ("nf4",) * (model.quantization == "int8"):
        quantised = frugal.model_copy(update={"quantization": kind})
        change, rows = f"model.quantization={kind} model.activation_checkpointing=true", short.train
        yield change, needed(quantised, rows)
        while rows.micro_batch_size > 1:
            rows = rows.model_copy(update={"micro_batch_size": rows.micro_batch_size // 2})
            yield f"{change} train.micro_batch_size={rows.micro_batch_size}", needed(quantised, rows)


def check_fits(result: Estimate) -> None:
    """Raises InputError with the settings that would help, where the estimate exceeds what there is."""
    if result.fits:
        return
    available = result.machine.available
    tried = list(remedies(result))
    helpful = [(change, memory) for change, memory in tried if memory.total <= available]
    if helpful:
        change, memory = helpful[0]
        cure = f"`{' '.join('--set ' + part for part in change.split())}` needs {memory.total / GIB:.1f}"
    elif tried:
        change, memory = min(tried, key=lambda entry: entry[1].total)
        cure = f"even with {change.replace(' ', ', ')} it needs {memory.total / GIB:.1f}; take a larger machine"
    else:
        cure = "take a larger machine"
    raise InputError(
        f"this run needs about {result.memory.total / GIB:.1f} GiB and {available / GIB:.1f} GiB are free on "
        f"{result.machine.name}; {cure}"
    )
