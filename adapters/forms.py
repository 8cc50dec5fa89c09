"""What peft puts on a projection W (out, in), by form, and the plain LoRA that computes the same.

    lora     W + s B A                                               A (R, in), B (out, R)
    miss     y = W x + M^T z, z_r = the sum of x_i over i = r mod R  M (R, out), no scaling
    gralora  W + s times K x K blocks, block (j, i) = B_ji A_ji      A (K, in/K, R), B (K, R, out/K)
    hira     W (1 + B A), number by number                           A (R, in), B (out, R), no scaling

MiSS is LoRA of rank R whose A is fixed: ones and zeros, A[r, i] = 1 where i = r mod R. In GraLoRA the block (j, i) has
R/K ranks of its own: the columns jR/K to (j+1)R/K of A[i], the rows iR/K to (i+1)R/K of B[j]; all together are LoRA of
rank K R, zero outside their blocks. HiRA changes W by W times B A, whose rank is not small: it stays in peft's form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adapters.base import target_pattern
from adapters.config import MethodConfig
from adapters.methods import Method, lora_alpha
from common.errors import InputError
from llada.network.layout import LLADA, Layout

PARTS = {
    "lora": ("lora_A", "lora_B"),
    "miss": ("miss_block",),
    "gralora": ("gralora_A", "gralora_B"),
    "hira": ("hira_A", "hira_B"),
}
"""The trainable parts of a layer, by form; DoRA has `lora_magnitude_vector` besides."""
HOLDERS = (*(part for parts in PARTS.values() for part in parts), "lora_magnitude_vector")
"""Names of the modules that hold nothing but adapter weights."""


def parts_of(method: Method) -> tuple[str, ...]:
    """The trainable parts of each layer."""
    return (*PARTS[method.form], "lora_magnitude_vector") if method.weight_decomposed else PARTS[method.form]


def peft_config(method: Method, config: MethodConfig, layout: Layout = LLADA) -> Any:
    """What a training hands to `peft.get_peft_model`.

    Raises:
        InputError: a rank that GraLoRA's blocks do not divide.
    """
    from peft import GraloraConfig, HiraConfig, MissConfig

    targets = target_pattern(config.targets, layout)
    if method.form == "miss":
        return MissConfig(r=config.rank, miss_dropout=config.dropout, target_modules=targets)
    if method.form == "hira":
        return HiraConfig(r=config.rank, hira_dropout=config.dropout, target_modules=targets)
    if method.form == "gralora":
        if config.rank % config.blocks:
            raise InputError(f"methods.<method>.rank: {config.rank} is no multiple of blocks: {config.blocks}")
        return GraloraConfig(
            r=config.rank,
            alpha=lora_alpha(config),  # type: ignore[arg-type]  # peft takes any number
            gralora_dropout=config.dropout,
            gralora_k=config.blocks,
            target_modules=targets,
        )
    return lora_config(method, config, layout)


def lora_config(method: Method, config: MethodConfig, layout: Layout = LLADA) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=lora_alpha(config),  # type: ignore[arg-type]  # peft takes any number
        lora_dropout=config.dropout,
        use_rslora=method.rank_stabilised,
        use_dora=method.weight_decomposed,
        target_modules=target_pattern(config.targets, layout),
        bias="none",
    )


def stored_config(method: Method, config: MethodConfig, layout: Layout = LLADA) -> Any:
    """What the saved adapter is to peft: LoRA of `method.saved_rank` with the same scaling, or HiRA."""
    if not method.stored_as_lora:
        return peft_config(method, config, layout)
    written = lora_config(method, config, layout)
    written.r = method.saved_rank(config)
    if method.has_alpha:  # rank and alpha grow together, so that the scaling stays
        written.lora_alpha = lora_alpha(config) * written.r / config.rank  # type: ignore[assignment]
    else:
        written.lora_alpha = written.r
    return written


def lora_of_miss(block: Tensor, inputs: int) -> tuple[Tensor, Tensor]:
    """A (R, in) and B (out, R) of a MiSS matrix (R, out)."""
    rank = len(block)
    A = (torch.arange(inputs)[None] % rank == torch.arange(rank)[:, None]).to(block)
    return A, block.mT.contiguous()


def lora_of_gralora(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """A' (K R, in) and B' (out, K R) of GraLoRA's A (K, in/K, R) and B (K, R, out/K)."""
    blocks, inputs, rank = A.shape
    outputs, own = B.shape[2], rank // blocks
    wide = A.new_zeros(blocks, blocks, own, blocks, inputs)  # (i, j, rank, input block, input)
    high = B.new_zeros(blocks, outputs, blocks, blocks, own)  # (output block, output, i, j, rank)
    for i in range(blocks):
        for j in range(blocks):
            wide[i, j, :, i] = A[i, :, j * own : (j + 1) * own].mT
            high[j, :, i, j] = B[j, i * own : (i + 1) * own].mT
    return wide.reshape(blocks * rank, blocks * inputs), high.reshape(blocks * outputs, blocks * rank)
