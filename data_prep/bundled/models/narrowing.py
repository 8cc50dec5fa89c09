"""A base with fewer units in its feed-forward parts: of each block those are kept that write most.

What unit j of a block adds to the residual stream at one position is g_j W[:, j] with g = silu(gate x) * (up x). Here
its weight is the mean square of g_j over texts, times the squared length of W[:, j] (a criterion by activations, as
compared in Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017). More
training mends what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llada.network.modeling import LLaDAModelLM


@torch.no_grad()
def narrowed(start: Path, model: Any, texts: Iterable[Tensor]) -> None:
    """Give `model` the weights of the base in `start`; where that is wider, of its `mlp_hidden_size` the best units.

    texts: ids (B, L) without masks, on which the units are weighed.
    """
    wide = LLaDAModelLM.from_pretrained(start, dtype=torch.float32).eval()
    weights = dict(wide.state_dict())
    for stem, kept in heaviest_units(wide, model.config.mlp_hidden_size, texts).items():
        for part, axis in (("ff_proj", 0), ("up_proj", 0), ("ff_out", 1)):
            name = f"{stem}.{part}.weight"
            weights[name] = weights[name].index_select(axis, kept)
    model.load_state_dict(weights)


def heaviest_units(wide: Any, count: int, texts: Iterable[Tensor]) -> dict[str, Tensor]:
    """Of each block, by its name, the indices (count,) of the heaviest units, in order."""
    squares: dict[str, Tensor] = {}
    outputs = {name: layer for name, layer in wide.named_modules() if name.endswith(".ff_out") and ".blocks." in name}
    handles = [
        layer.register_forward_pre_hook(
            lambda _, given, name=name: squares.__setitem__(
                name, squares.get(name, torch.zeros(())) + given[0].flatten(0, -2).square().sum(0)
            )
        )
        for name, layer in outputs.items()
    ]
    for ids in texts:
        wide(input_ids=ids)
    for handle in handles:
        handle.remove()
    return {
        name.removesuffix(".ff_out"): (squares[name] * layer.weight.square().sum(0)).topk(count).indices.sort().values
        for name, layer in outputs.items()
    }
