"""Starts that peft computes: OLoRA of the weight, EVA of the layer's inputs, CorDA of both, LoRA-GA of the gradient.

peft writes A0 and B0 into a layer and the rest into its weight, in place, and computes all of it again wherever such an
adapter is loaded. Here it gets a copy of each weight, one after the other, and only its A0 and B0 are taken: they are
cached, the base's weight is handled as PiSSA's, and a saved adapter needs none of this (see `adapters.storage`).

As peft 0.21 computes them, and where that is not the paper: EVA without moving ranks between layers (rho = 1), so that
the adapter keeps one rank. CorDA in its instruction-previewed mode. LoRA-GA multiplies B0 by the gradient's singular
values, which the paper does not, so that its start is small where the gradient is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from adapters.base import layout_of, target_pattern
from adapters.config import MethodConfig
from adapters.methods import Method
from adapters.starts.factors import (
    Factors,
    cached,
    rank_too_large,
    same_for_all_thread_counts,
    weight_hashes,
    weight_of,
)
from common.errors import InputError
from common.files import sha256_of_json

SEED = 2407_05000  # of LoRA-GA's randomised SVD
_LEFT_BY_PEFT = ("eigens", "_peft_loraga_grad")


@dataclass(frozen=True)
class StartRows:
    """Training rows with the noise of the first step, a batch after the other."""

    batches: Sequence[Mapping[str, Tensor]]  # input_ids (B, L) with masks in it; attention_mask (B, L) int64
    backward: Callable[[Any], None]  # adds the loss's gradient over all batches to a network's weights

    def together(self) -> dict[str, Tensor]:
        """All rows as one batch, padded on the right."""
        width = max(batch["input_ids"].shape[1] for batch in self.batches)
        return {
            name: torch.cat([F.pad(batch[name], (0, width - batch[name].shape[1])) for batch in self.batches])
            for name in ("input_ids", "attention_mask")
        }

    @property
    def key(self) -> str:
        """Hash of the ids."""
        return sha256_of_json([{name: value.tolist() for name, value in batch.items()} for batch in self.batches])


def peft_factors(
    base: Any,
    modules: Mapping[str, nn.Module],
    method: Method,
    config: MethodConfig,
    cache: Path,
    rows: StartRows | None,
) -> Factors:
    """A0 and B0 of these layers of the base as they stand in a LoRA layer of this scaling; the base is left as it is.

    Raises:
        InputError: the rank is larger than a weight or the rows allow.
        ValueError: a start of rows without rows.
    """
    import peft

    if method.reads_rows and rows is None:
        raise ValueError(f"{method.title} starts from training rows, and was given none")
    for name, module in modules.items():
        most = min(weight_of(module).shape) // (2 if method.start == "lora_ga" else 1)  # it takes 2R singular vectors
        if method.start != "eva" and config.rank > most:
            raise rank_too_large(f"{method.title} of rank {config.rank} takes at most {most} here", name)
    key = {
        "start": method.start,
        "weights": weight_hashes(modules),
        "rank": config.rank,
        "scaling": method.scaling(config),
        "rows": rows.key if rows is not None and method.reads_rows else None,
        "peft": peft.__version__,
        "seed": SEED,
    }

    def compute() -> Factors:
        largest = max(weight_of(module).numel() for module in modules.values())
        devices = [base.device] if base.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), same_for_all_thread_counts(largest):
            torch.manual_seed(SEED)
            if method.start == "eva":
                assert rows is not None
                return _input_directions(base, modules, config, rows)
            with _prepared(base, modules, method, config, rows):
                return {name: _factors_of(module, method, config) for name, module in modules.items()}

    return cached(modules, key, cache, method.title, compute)


def _lora_config(method: Method, config: MethodConfig, base: Any = None) -> Any:
    from peft.tuners.lora.config import CordaConfig, EvaConfig, LoraConfig, LoraGAConfig

    own = {
        "olora": {},
        "eva": {"eva_config": EvaConfig(rho=1.0)},
        "corda": {"corda_config": CordaConfig(corda_method="ipm")},
        "lora_ga": {"lora_ga_config": LoraGAConfig()},
    }[method.start]
    return LoraConfig(
        r=config.rank,
        lora_alpha=method.scaling(config) * config.rank,  # type: ignore[arg-type]  # peft takes any number
        init_lora_weights=method.start,  # type: ignore[arg-type]
        target_modules=None if base is None else target_pattern(config.targets, layout_of(base)),
        **own,
    )


@contextmanager
def _prepared(base: Any, modules: Mapping[str, nn.Module], method: Method, config: MethodConfig, rows: Any) -> Any:
    """What peft hangs on the base's layers before its initialiser runs, and takes off again afterwards."""
    try:
        if method.start == "corda":
            from peft.tuners.lora.corda import preprocess_corda

            preprocess_corda(base, _lora_config(method, config, base), run_model=lambda: _run_row_by_row(base, rows))
        if method.start == "lora_ga":
            from peft.tuners.lora.loraga import preprocess_loraga

            preprocess_loraga(base, _lora_config(method, config, base), train_step=lambda: rows.backward(base))
        yield
    finally:
        for module in modules.values():
            for name in _LEFT_BY_PEFT:
                module.__dict__.pop(name, None)


def _run_row_by_row(base: Any, rows: StartRows) -> None:
    """peft's CorDA takes the covariance of one row at a time, padding included: rows come without it."""
    for batch in rows.batches:
        for ids, real in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            base(ids[real.bool()][None].to(base.device))


def _factors_of(module: nn.Module, method: Method, config: MethodConfig) -> tuple[Tensor, Tensor]:
    """What peft's initialiser makes of one weight (out, in)."""
    from peft.tuners.lora.layer import Linear

    weight = weight_of(module)
    rows, columns = weight.shape
    with torch.device("meta"):
        copy = nn.Linear(columns, rows, bias=False)
    copy.weight = nn.Parameter(weight.detach().float().clone(), requires_grad=False)
    for attribute in _LEFT_BY_PEFT:
        if attribute in module.__dict__:
            setattr(copy, attribute, module.__dict__[attribute])
    settings = _lora_config(method, config)
    layer: Any = Linear(copy, "default", config=settings, r=settings.r, lora_alpha=settings.lora_alpha)
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return A.detach().float().to(weight.device), B.detach().float().to(weight.device)


class _RowThenAll:
    """peft's EVA goes round its batches until no direction moves, which from batch to batch takes hundreds of passes,
    and on one batch with everything in it two or three. Before that it reads one batch and makes a Python number of
    every input of every layer, to see which layers have the same: of one row here.
    """

    def __init__(self, whole: Mapping[str, Tensor]) -> None:
        self.whole, self.begun = dict(whole), False

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        first, self.begun = not self.begun, True
        yield {name: value[:1] for name, value in self.whole.items()} if first else self.whole


def _input_directions(base: Any, modules: Mapping[str, nn.Module], config: MethodConfig, rows: StartRows) -> Factors:
    """EVA: A0 the principal directions of what each layer is given, B0 = 0."""
    from peft.tuners.lora.eva import get_eva_state_dict

    from adapters.methods import METHODS

    narrowest = min(module.in_features for module in modules.values())  # type: ignore[type-var]
    if 2 * config.rank > narrowest:  # type: ignore[operator]
        raise rank_too_large(f"EVA of rank {config.rank} on {narrowest} inputs takes at most half of them", "eva")
    whole = rows.together()
    if int(whole["attention_mask"].sum()) <= 2 * config.rank:
        raise InputError(
            f"methods.<method>.rank: EVA of rank {config.rank} needs start rows of more than {2 * config.rank} tokens; "
            "raise start_rows, or choose a smaller rank"
        )
    directions = get_eva_state_dict(
        base,
        _RowThenAll(whole),
        peft_config=_lora_config(METHODS["eva"], config, base),
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )
    return {
        name: (
            directions[name].float(),
            torch.zeros(module.out_features, config.rank, device=directions[name].device),  # type: ignore[call-overload]
        )
        for name, module in modules.items()
    }
