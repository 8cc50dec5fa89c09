"""Does a merged folder compute what base plus adapter compute? Asked of real rows, with one block in memory at a time.

Both run through the native network's own block, base plus adapter with peft's own layers in it. The block's parameters
are exchanged layer by layer for those in the files, and the hidden states of the rows wait meanwhile. So the check
takes one block in float64 (1.6 GiB for LLaDA-8B), not the model, and stays within what the merging itself takes.

Arithmetic is float64. In float32 the sums of a forward pass alone move a logit of 30 by 3e-5, whatever was merged; in
float64 what is left is the rounding of the merged weights to their type, which is what a merge can get wrong.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from adapters.base import default_device, quiet_bitsandbytes
from adapters.forms import HOLDERS
from adapters.storage import file_key
from adapters.stored import PREFIX, WEIGHTS
from common.progress import track
from llada.network.checkpoint import read_config
from llada.network.layout import Layout
from release.tensor_files import Stored, stored_tensors

VOCABULARY_CHUNK = 4096  # rows of the head at a time
WIDE = torch.float64


@dataclass(frozen=True)
class Check:
    """Logits of the merged folder beside those of base plus adapter, on the same tokens, in float64 arithmetic."""

    rows: int
    difference: float  # the largest, absolute
    rms: float  # root mean square of all differences
    largest: float  # the largest absolute logit
    dtype: str  # of the merged weights

    @property
    def tolerance(self) -> float:
        """1e-5 for weights of 32 bits. For 16 bits 2e-2 of the largest logit where that is above 1: they have 8 or 11
        significant bits, so that the rounding of the weights moves large logits by more than that.
        """
        return 2e-2 * max(1.0, self.largest) if self.dtype in ("bfloat16", "float16") else 1e-5

    @property
    def passed(self) -> bool:
        """False also where a logit is not a number."""
        return self.difference <= self.tolerance


@torch.no_grad()
def compare(base: Path, adapter: Path, merged: Path, rows: Sequence[Sequence[int]]) -> Check:
    """Largest difference of logits between base plus adapter and the merged folder, at every position of every row.

    Args:
        base, merged: folders in the published layout; adapter: as the trainer writes it.
        rows: token ids, each row run by itself.

    Raises:
        llada.errors.CheckpointError: a folder is no complete checkpoint.
    """
    before, after = _by_name(base), _by_name(merged)
    layout = read_config(base).layout
    expected = _final_states(base, before, rows, adapter)
    actual = _final_states(merged, after, rows)
    errors, squares, sizes, count = [], [], [], 0
    for wanted, got in zip(_logits(before, expected, layout), _logits(after, actual, layout), strict=True):
        error = (got - wanted).abs_()
        errors.append(error.max())
        squares.append(error.square_().sum())
        sizes.append(wanted.abs().max())
        count += error.numel()
    dtype = next(tensor for name, tensor in after.items() if name.startswith(layout.blocks)).read().dtype
    return Check(
        rows=len(rows),
        difference=float(torch.stack(errors).max()),  # of tensors: Python's max would drop a nan
        rms=math.sqrt(float(torch.stack(squares).sum()) / count),
        largest=float(torch.stack(sizes).max()),
        dtype=str(dtype).removeprefix("torch."),
    )


def _by_name(folder: Path) -> dict[str, Stored]:
    return {tensor.name: tensor for tensor in stored_tensors(folder)}


def _final_states(
    folder: Path, stored: Mapping[str, Stored], rows: Sequence[Sequence[int]], adapter: Path | None = None
) -> Tensor:
    """Hidden states after the final norm, rows end to end: (tokens, D). With `adapter` those of the adapted network."""
    from llada.network.positions import rotary_table

    config = read_config(folder)
    layout = config.layout
    network = _with_one_block(config, adapter)
    block, norm = network.blocks[0], network.final_norm
    updates = {} if adapter is None else load_file(adapter / WEIGHTS)
    device = norm.weight.device
    embedding = stored[f"{layout.embedding}.weight"].read()
    states = [embedding[torch.tensor([list(row)])].to(device, WIDE) for row in rows]  # (1, L, D) each
    del embedding
    angles = [rotary_table(torch.arange(len(row), device=device)[None], config, WIDE) for row in rows]
    for layer in track(range(config.n_layers), "running merged" if adapter is None else "running base plus adapter"):
        _fill(block, f"{layout.blocks}.{layer}", stored, updates)
        states = [block(x, cos, sin) for x, (cos, sin) in zip(states, angles, strict=True)]
    norm.weight.copy_(stored[f"{layout.norm}.weight"].read())
    return torch.cat([norm(x)[0] for x in states])


def _with_one_block(config: Any, adapter: Path | None) -> Any:
    """The network with room for one block and the final norm; embedding and head take no memory."""
    from llada.network.modeling import network_of

    single = copy.deepcopy(config)
    single.n_layers = 1
    with torch.device("meta"):
        network: Any = network_of(single)
        if adapter is not None:
            quiet_bitsandbytes()
            from peft import PeftConfig, inject_adapter_in_model

            inject_adapter_in_model(PeftConfig.from_pretrained(str(adapter)), network)
    model = network.to(WIDE).eval().model
    for part in (model.blocks[0], model.final_norm):
        part.to_empty(device=default_device())
    return model


def _fill(block: nn.Module, place: str, stored: Mapping[str, Stored], updates: Mapping[str, Tensor]) -> None:
    """Copy one layer's weights, and the adapter's where the block has one, into the block's parameters."""
    for name, parameter in block.named_parameters():
        key = f"{place}.{name}"
        if any(f".{holder}." in f".{name}." for holder in HOLDERS):
            parameter.copy_(updates[file_key(PREFIX + key)])
        else:
            parameter.copy_(stored[key.replace(".base_layer", "")].read())


def _logits(stored: Mapping[str, Stored], states: Tensor, layout: Layout) -> Iterator[Tensor]:
    """(tokens, D) -> logits of one part of the vocabulary after another, (tokens, VOCABULARY_CHUNK)."""
    head = stored.get(f"{layout.head}.weight", stored[f"{layout.embedding}.weight"])  # none of its own where tied
    rows = len(head.read())
    for start in range(0, rows, VOCABULARY_CHUNK):
        yield states @ head.read()[start : start + VOCABULARY_CHUNK].to(states).T
