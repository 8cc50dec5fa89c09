"""From whatever wraps it to the LLaDA network itself."""

from __future__ import annotations

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from llada.network.modeling import LLaDAModelLM


def base_of(model: nn.Module) -> LLaDAModelLM:
    """The network inside a peft model (its adapters stay active), or the network itself.

    Raises:
        ValueError: a DistributedDataParallel model, whose gradients would not be reduced; or no LLaDA network.
    """
    if isinstance(model, DistributedDataParallel):
        raise ValueError(
            "call this inside the forward of the module that DistributedDataParallel wraps, else ranks diverge"
        )
    inner = getattr(model, "get_base_model", None)
    network = model if inner is None else inner()
    if not isinstance(network, LLaDAModelLM):
        raise ValueError(f"model: {type(network).__name__}; expected LLaDAModelLM, bare or inside a peft model")
    return network
