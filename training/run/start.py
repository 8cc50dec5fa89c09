"""What a training starts from: an existing adapter (`train.init_from`), whose weights become A and B; or training rows
(EVA, CorDA, LoRA-GA), with the noise that the first step has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from adapters.lineage import check_files
from adapters.starts.by_peft import StartRows
from adapters.storage import file_key, trainable_tensors
from adapters.stored import WEIGHTS
from adapters.update import read_adapter
from common.errors import InputError
from common.files import read_json
from common.progress import console
from llada.network.tail_tokens import unused_tokens
from training.global_batch import batch_of
from training.objective import Objective
from training.plan import TrainingPlan


def start_rows(plan: TrainingPlan, config: Any, device: torch.device) -> StartRows:
    """The first `start_rows` training rows of the run's own order, with masks drawn from (seed, step 0).

    They are read as a global batch of that size, in micro-batches of the run's size: forward passes, for LoRA-GA one
    backward pass besides.

    Args:
        config: LLaDAConfig of the network. device: of the network.
    """
    train, count = plan.train, min(plan.config.start_rows, len(plan.rows))
    changes = {"global_batch_size": count, "masks": "independent", "levels": "uniform"}
    lengths = plan.rows.lengths
    batch = batch_of(train.model_copy(update=changes), plan.rows, lengths, config, plan.seed, 0, {})
    parts = np.array_split(np.arange(len(batch)), -(-len(batch) // train.micro_batch_size))
    micro = [batch.micro_batch(part).to(device) for part in parts]
    total = batch.denominator(train.normalizer)

    def backward(network: Any) -> None:
        objective = Objective(network, train.normalizer, getattr(torch, plan.model.dtype))
        for part in micro:
            objective(part, total).backward()

    batches = []
    for part in micro:
        ids, real = part.rows.input_ids, part.rows.attention_mask
        noisy = ids.masked_fill(part.mask.to(device), config.mask_token_id)
        batches.append({"input_ids": noisy, "attention_mask": torch.ones_like(ids) if real is None else real})
    return StartRows(batches, backward)


def tail_tokens(plan: TrainingPlan) -> dict[str, int]:
    """Id by token of what follows an answer's EOS under `train.eos_tail: rainbow:K`; none under another policy.

    Raises:
        InputError: the base's vocabulary has not so many tokens that no text contains.
    """
    if plan.causal or not plan.train.eos_tail.startswith("rainbow:"):
        return {}
    from tokenizers import Tokenizer

    wanted, path = int(plan.train.eos_tail.removeprefix("rainbow:")), plan.base / "tokenizer.json"
    found = unused_tokens(Tokenizer.from_file(str(path))) if path.is_file() else {}
    if len(found) < wanted:
        raise InputError(
            f"train.eos_tail: {plan.train.eos_tail}; the vocabulary of {plan.base} has {len(found)} tokens that no "
            "text contains (rainbow needs one of bytes); take random:K"
        )
    return dict(list(found.items())[:wanted])


def starting_tensors(plan: TrainingPlan, adapted: Any) -> dict[str, Tensor]:
    """The tensors of the adapter in `plan.init_from` by the names of the trainable parameters.

    Raises:
        InputError: no adapter there; one of another base, rank, scaling, kind or other targets.
    """
    folder = plan.init_from
    assert folder is not None
    updates = read_adapter(folder)
    _check_base(plan, folder)
    first = next(iter(updates.values()))
    rank, scaling = len(first.A), plan.method.scaling(plan.config)
    if rank != plan.config.rank:
        raise _unfit(folder, f"of rank {rank} and not {plan.config.rank}", plan, rank, first.scaling)
    if abs(first.scaling - scaling) > 1e-6 * scaling:
        raise _unfit(folder, f"scaled by {first.scaling:g} and not {scaling:g}", plan, rank, first.scaling)
    check_files(folder)
    stored = load_file(folder / WEIGHTS)
    names = {file_key(name): name for name in trainable_tensors(adapted)}
    if names.keys() != stored.keys():
        other = min(names.keys() ^ stored.keys())
        where = "not in it" if other in names else "in it alone"
        raise InputError(
            f"train.init_from: {folder} adapts other layers or is of another method than methods.{plan.method_name} "
            f"({other} is {where}); give it the same targets"
        )
    _check_shapes(folder, stored, {file_key(name): value for name, value in trainable_tensors(adapted).items()})
    return {names[key]: value.float() for key, value in stored.items()}


def _unfit(folder: Path, what: str, plan: TrainingPlan, rank: int, scaling: float) -> InputError:
    alpha = scaling * (rank**0.5 if plan.method.rank_stabilised else rank)
    section = f"methods.{plan.method_name}"
    return InputError(
        f"train.init_from: the adapter in {folder} is {what}; set {section}.rank={rank} and {section}.alpha={alpha:g}"
    )


def _check_base(plan: TrainingPlan, folder: Path) -> None:
    path = folder / "run.json"
    run = read_json(path) if path.is_file() else {}
    if not isinstance(run, dict) or not isinstance(run.get("base", {}), dict):
        raise InputError(f"{path}: not what a training writes; train.init_from needs an adapter of this project")
    trained_on = run.get("base", {}).get("sha256")
    if trained_on is None and plan.is_first_process:
        console.print(f"train.init_from: nothing in {folder} says on which base it was trained", soft_wrap=True)
    elif trained_on not in (None, plan.base_sha256):
        raise InputError(
            f"train.init_from: the adapter in {folder} was trained on another base "
            f"(sha256 {str(trained_on)[:12]} instead of {plan.base_sha256[:12]})"
        )


def _check_shapes(folder: Path, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, value in stored.items():
        if value.shape != expected[name].shape:
            shapes = f"{list(value.shape)} instead of {list(expected[name].shape)}"
            raise InputError(f"train.init_from: {folder / WEIGHTS}: {name} is {shapes}; it belongs to another base")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"train.init_from: {folder / WEIGHTS}: {name} holds values that are not finite")
