"""A GPU that is not there: tensors which claim to be on cuda:0 and refuse to meet tensors on the CPU.

    with claimed_gpu():
        network = on_gpu(network)          # as network.to("cuda")
        loss(network, batch.to(torch.device("cuda:0")))

Their numbers lie on the CPU, so every operation gives what the CPU gives. What a real GPU allows is allowed: tensors of
one number on the CPU, indices on the CPU, copies from one place to the other. A function that makes a tensor makes it
where its `device` says, so a mask or a noise level that was forgotten on the CPU is found without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

GPU = torch.device("cuda:0")
COPYING = {"copy_", "to", "cpu", "cuda", "__getitem__", "__setitem__", "index_put_", "type_as", "__get__", "__set__"}
"""What may take tensors of two places."""


class Claimed(torch.Tensor):
    """A tensor that says it is on cuda:0."""


class _Gpu(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        if func == torch.Tensor.device.__get__:  # made anew at each look
            return GPU if isinstance(args[0], Claimed) else func(*args)
        if func == torch.Tensor.is_cuda.__get__:
            return isinstance(args[0], Claimed)
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        if name not in COPYING:
            _refuse_a_mixture(name, tensors)
        target = _target(name, args, kwargs)
        if target is not None:
            args, kwargs = _without_device(args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        claimed = target.type == "cuda" if target is not None else any(isinstance(t, Claimed) for t in tensors)
        if target is None and name in ("copy_", "__setitem__", "index_put_"):
            claimed = isinstance(args[0], Claimed)
        if name == "__getitem__":
            claimed = isinstance(args[0], Claimed)
        return _placed(result, claimed)


def _refuse_a_mixture(name: str, tensors: list[Tensor]) -> None:
    ours = [tensor for tensor in tensors if isinstance(tensor, Claimed)]
    others = [tensor for tensor in tensors if not isinstance(tensor, Claimed) and tensor.dim() > 0]
    if ours and others:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")


def _target(name: str, args: Any, kwargs: Any) -> torch.device | None:
    """The device that a call names, None where it names none."""
    if name == "cpu":
        return torch.device("cpu")
    if name == "cuda":
        return GPU
    if name == "type_as":
        return GPU if isinstance(args[1], Claimed) else torch.device("cpu")
    found = kwargs.get("device")
    if name == "to" and found is None:
        places = [value for value in args[1:] if isinstance(value, torch.device | str | Tensor)]
        found = places[0] if places else None
        if isinstance(found, Tensor):
            return GPU if isinstance(found, Claimed) else torch.device("cpu")
    return None if found is None else torch.device(found)


def _without_device(args: Any, kwargs: Any) -> tuple[Any, Any]:
    kept = tuple(value for place, value in enumerate(args) if place == 0 or not isinstance(value, torch.device | str))
    kept = tuple(value.dtype if place and isinstance(value, Tensor) else value for place, value in enumerate(kept))
    return kept, {key: value for key, value in kwargs.items() if key not in ("device", "non_blocking", "pin_memory")}


def _placed(result: Any, claimed: bool) -> Any:
    if isinstance(result, list | tuple) and any(isinstance(value, Tensor) for value in result):
        values = [_placed(value, claimed) for value in result]
        return type(result)(*values) if hasattr(result, "_fields") else type(result)(values)
    if not isinstance(result, Tensor) or isinstance(result, Claimed) == claimed:
        return result
    return result.as_subclass(Claimed if claimed else torch.Tensor)


@contextmanager
def claimed_gpu() -> Iterator[None]:
    """What asks CUDA itself (to wait, for memory) gets an answer, too."""
    answers = {"synchronize": None, "reset_peak_memory_stats": None, "max_memory_allocated": 0}
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, lambda *_, answer=answer: answer))
        stack.enter_context(_Gpu())
        yield


def on_gpu(network: nn.Module) -> nn.Module:
    """The network with its parameters and buffers on cuda:0; gradients are kept on them as ever."""
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                placed = parameter.detach().as_subclass(Claimed).requires_grad_(parameter.requires_grad)
                placed._is_param = True
                module._parameters[name] = placed
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = buffer.as_subclass(Claimed)
    return network
