"""The frozen base model: loaded in its storage type, its block projections quantised where asked.

`ff_out` names both the MLP's down projection and the LM head in LLaDA's published checkpoint. Everything here addresses
projections by a full-match pattern inside the blocks, so that the head is neither adapted nor quantised. Projections go
by LLaDA's names; the network's layout says where they are.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from adapters.config import ModelConfig, Projection
from llada.network.layout import ILLADA as LLAMA
from llada.network.layout import LLADA, Layout

PROJECTIONS: tuple[str, ...] = get_args(Projection)
NF4_BLOCK, STATISTICS_BLOCK = 64, 256  # bitsandbytes' defaults, which it writes into each layer's state
QUANTISED_AT_ONCE = 2**20  # entries, on a CPU: its quantiser holds several float32 copies of them


def target_pattern(targets: Sequence[str], layout: Layout = LLADA) -> str:
    """A regular expression that matches, in full, the names of these projections inside the blocks and nothing else.

    >>> re.fullmatch(target_pattern(["ff_out"]), "model.transformer.ff_out") is None      # the head
    True

    Raises:
        ValueError: the layout has no such part.
    """
    if unknown := [name for name in targets if name not in layout.parts]:
        raise ValueError(f"no projection {', '.join(unknown)}; there are {', '.join(PROJECTIONS)}")
    paths = [re.escape(layout.parts[name]) for name in targets]
    return re.escape(layout.blocks) + r"\.\d+\.(?:" + "|".join(paths) + ")"


def layout_of(model: Any) -> Layout:
    """Where a network keeps its parts: as its configuration says, or, of a causal one of transformers, as Llama."""
    return getattr(model.config, "layout", LLAMA)


def target_modules(model: nn.Module, targets: Sequence[str]) -> dict[str, nn.Module]:
    """The linear layers inside the blocks that `targets` names, by their full names, in model order.

    Raises:
        ValueError: the model does not have each target exactly once in every block, or an unknown target was named.
    """
    pattern = re.compile(target_pattern(targets, layout_of(model)))
    modules = {name: module for name, module in model.named_modules() if pattern.fullmatch(name)}
    expected = model.config.num_hidden_layers * len(set(targets))  # type: ignore[union-attr,operator]
    if len(modules) != expected:
        raise ValueError(f"{len(modules)} modules match {list(targets)}, expected {expected}: one per target and block")
    return modules


def load_base(
    model: ModelConfig, folder: Path, device: torch.device | str | None = None, *, causal: bool = False
) -> Any:
    """Load the base from a folder in the published layout: frozen, in eval mode, quantised where `model` says so.

    Args:
        model: storage type and quantisation.
        folder: config.json and safetensors weights under the published key names.
        device: where it ends up; default CUDA where there is one, else the CPU.
        causal: it is a causal language model of transformers, not LLaDA.

    Returns:
        LLaDAModelLM, or transformers' class of a causal one, whose parameters need no gradient.

    Raises:
        llada.errors.CheckpointError: no weights there, or they do not fit the configuration.
    """
    base = load_unquantised(model, folder, device, causal=causal)
    quantise(base, model, device)
    return base


def load_unquantised(
    model: ModelConfig, folder: Path, device: torch.device | str | None = None, *, causal: bool = False
) -> Any:
    """The base in `model.dtype` on its device; or, where it is still to be quantised, on the CPU in its file's type.

    A tensor in the type of its file is a view of the file's pages, which take no memory of the process. So what goes
    to another place or type goes there one tensor after the other, and neither host nor GPU holds a 16-bit copy.
    """
    from causal.network import load_causal
    from llada.network.checkpoint import stored_dtype
    from llada.network.modeling import LLaDAModelLM

    quiet_bitsandbytes()
    place, dtype = torch.device(device or default_device()), getattr(torch, model.dtype)
    passes_through = model.quantization != "none" or place.type != "cpu"
    loaded = stored_dtype(folder) if passes_through and not causal else None
    if causal:
        base = load_causal(folder, "auto" if passes_through else dtype)
    else:
        base = LLaDAModelLM.from_pretrained(folder, dtype=loaded or dtype, **model.token_ids)
    base.requires_grad_(False)
    base.eval()
    if model.quantization == "none":
        base.to(place, dtype)
    base.config.dtype = dtype
    return base


def quiet_bitsandbytes() -> None:
    """It looks for an optional CPU kernel package and logs that it is not there."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def quantise(
    base: Any,
    model: ModelConfig,
    device: torch.device | str | None = None,
    starting: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Replace every projection inside the blocks by a bitsandbytes layer; embeddings, norms and head stay in 16 bits.

    One projection after the other: to the device, to `model.dtype`, through `starting`, quantised, and the base lets
    its weight go. So no more than one projection exists unpacked, on the host or on the device.

    Args:
        starting: what is quantised in place of the weight (out, in) of this name: PiSSA's residual.
    """
    if model.quantization == "none":
        return
    device, dtype = torch.device(device or default_device()), getattr(torch, model.dtype)
    for name in list(target_modules(base, PROJECTIONS)):
        parent, _, child = name.rpartition(".")
        weight = base.get_submodule(name).weight.data.to(device, dtype)
        weight = weight if starting is None else starting(name, weight)
        setattr(base.get_submodule(parent), child, quantised_linear(weight, model, device))
    base.to(device, dtype)
    # peft asks for these flags before it wraps bitsandbytes layers.
    base.is_loaded_in_4bit = model.quantization == "nf4"
    base.is_loaded_in_8bit = model.quantization == "int8"


def quantised_linear(weight: torch.Tensor, model: ModelConfig, device: torch.device) -> nn.Module:
    """A frozen bitsandbytes linear layer that holds `weight` (out, in) as NF4 with double quantisation, or as int8."""
    import bitsandbytes

    bnb: Any = bitsandbytes  # its types leave out what its classes take
    rows, columns = weight.shape
    layer: Any
    with torch.device("meta"):
        if model.quantization == "nf4":
            dtype = getattr(torch, model.dtype)
            layer = bnb.nn.Linear4bit(columns, rows, bias=False, compute_dtype=dtype, quant_type="nf4")
            # On a CPU with AVX512-BF16 the first forward pass without gradients (a validation) would repack the weight
            # for a kernel that has no backward pass; training would go on without the gradient through this layer.
            layer.support_avx512bf16_for_cpu = False
        else:
            layer = _int8_linear()(columns, rows, bias=False, has_fp16_weights=False)
    if model.quantization == "nf4" and device.type == "cpu":
        layer.weight, layer.quant_state = _nf4_in_parts(weight.to(device), layer)
    elif model.quantization == "nf4":
        layer.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=layer)
    else:  # quantised here: Int8Params does it only on its way from the CPU, and this weight may be on a GPU already
        codes, scales, _ = bnb.functional.int8_vectorwise_quant(weight.to(device, torch.float16).contiguous())
        layer.weight = bnb.nn.Int8Params(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)
    return layer.to(device).eval()


def _nf4_in_parts(weight: torch.Tensor, layer: Any) -> tuple[Any, Any]:
    """The weight (out, in) in NF4 with double quantisation, and its state: what bitsandbytes makes of it, to the bit.

    On a CPU bitsandbytes holds up to 15 bytes per entry of what it quantises, of a matrix of an 8 B model's MLP 0.7 GB.
    A block depends on its own entries alone, so the weight goes through in runs of whole blocks. Only then are the
    blocks' largest values quantised: all of a weight together, less their mean.
    """
    import bitsandbytes

    bnb: Any = bitsandbytes
    functional = bnb.functional
    flat = weight.contiguous().reshape(-1)
    packed = torch.empty(-(-flat.numel() // 2), 1, dtype=torch.uint8)
    largest = torch.empty(-(-flat.numel() // NF4_BLOCK), dtype=torch.float32)  # by block
    for start in range(0, flat.numel(), QUANTISED_AT_ONCE):
        part = flat[start : start + QUANTISED_AT_ONCE]
        codes, state = functional.quantize_4bit(part, blocksize=NF4_BLOCK, quant_type="nf4")
        packed[start // 2 :][: len(codes)] = codes
        largest[start // NF4_BLOCK :][: len(state.absmax)] = state.absmax
    offset = largest.mean()
    statistics, nested = functional.quantize_blockwise(largest - offset, blocksize=STATISTICS_BLOCK)
    whole = functional.QuantState(
        absmax=statistics,
        shape=weight.shape,
        dtype=weight.dtype,
        blocksize=NF4_BLOCK,
        code=functional.get_4bit_type("nf4", device=weight.device),
        quant_type="nf4",
        offset=offset,
        state2=nested,
    )
    stored = bnb.nn.Params4bit(
        packed, requires_grad=False, quant_state=whole, quant_type="nf4", module=layer, bnb_quantized=True
    )
    return stored, whole


@functools.cache
def _int8_linear() -> Any:
    """bitsandbytes' int8 layer, made to survive peft's DoRA on the CPU.

    The layer's forward pass takes the scales from the weight to its state whenever it finds a fresh weight; peft's
    DoRA puts one there, without scales, at every forward pass, and the next one would lose them.
    """
    import bitsandbytes as bnb

    class Int8Linear(bnb.nn.Linear8bitLt):
        def init_8bit_state(self) -> None:
            weight: Any = self.weight
            scales = weight.SCB
            scales = self.state.SCB if scales is None else scales
            super().init_8bit_state()
            self.state.SCB = scales

    return Int8Linear
