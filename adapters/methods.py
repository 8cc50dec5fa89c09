"""The adaptation methods: one entry each, on a frozen base.

| name | what is different | source |
|---|---|---|
| lora | B = 0, A random, one learning rate | Hu et al. 2021, arXiv 2106.09685 |
| loraplus | B learns `ratio` times as fast as A | Hayou et al. 2024, arXiv 2402.12354 |
| pissa | A and B start as the principal part of the weight | Meng et al. 2024, arXiv 2404.02948 |
| rslora | update scaled by alpha / sqrt(rank) | Kalajdzievski 2023, arXiv 2312.03732 |
| dora | magnitude and direction of the weight apart | Liu et al. 2024, arXiv 2402.09353 |
| loraplus_pissa | the start of PiSSA, the rates of LoRA+ | what the original Indonesian study ran |
| olora | A and B start from the weight's QR decomposition | Büyükakyüz 2024, arXiv 2406.01775 |
| eva | A starts as the principal directions of the layer's input, B = 0 | Paischer et al. 2024, arXiv 2410.07170 |
| corda | A and B start from the weight seen through its input's covariance | Yang et al. 2024, arXiv 2406.05223 |
| lora_ga | A and B start from the singular vectors of the gradient | Wang et al. 2024, arXiv 2407.05000 |
| miss | one matrix (rank, out), the input's slices of rank numbers added up | Kang and Yin 2024, arXiv 2409.15371 |
| gralora | a LoRA for each of `blocks` x `blocks` parts of the weight | Jung et al. 2025, arXiv 2505.20355 |
| hira | the weight times 1 + B A, number by number | Huang et al. 2025 (ICLR) |
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from adapters.config import MethodConfig
from common.errors import InputError
from common.systems import TWIN

Start = Literal["random", "pissa", "olora", "eva", "corda", "lora_ga"]
Form = Literal["lora", "miss", "gralora", "hira"]


@dataclass(frozen=True)
class Method:
    """What distinguishes one method from plain LoRA."""

    title: str
    loraplus: bool = False
    start: Start = "random"
    form: Form = "lora"
    rank_stabilised: bool = False
    weight_decomposed: bool = False
    rate: float = 1.0
    """Peak learning rate over that of `lora`, where a profile has no section for the method."""

    @property
    def leaves_residual(self) -> bool:
        """Does the adapter start as a part of the weight, so that the base keeps the rest while it trains?"""
        return self.start in ("pissa", "olora", "corda", "lora_ga")

    @property
    def reads_rows(self) -> bool:
        """Is the start taken from training rows?"""
        return self.start in ("eva", "corda", "lora_ga")

    @property
    def has_alpha(self) -> bool:
        """Is the update scaled? peft's MiSS and HiRA have no such factor."""
        return self.form in ("lora", "gralora")

    @property
    def stored_as_lora(self) -> bool:
        """Is the saved adapter plain LoRA (or DoRA) on the original base? HiRA's update has no small rank."""
        return self.form != "hira"

    def scaling(self, config: MethodConfig) -> float:
        """The factor on B A: alpha / rank, or alpha / sqrt(rank) where rank-stabilised; 1 where there is none."""
        if not self.has_alpha:
            return 1.0
        alpha = lora_alpha(config)
        return alpha / (math.sqrt(config.rank) if self.rank_stabilised else config.rank)

    def saved_rank(self, config: MethodConfig) -> int:
        """Rank of the adapter on disk, see `adapters.storage`."""
        if self.form == "gralora":
            return config.rank * config.blocks
        return config.rank * (2 if self.leaves_residual else 1)


METHODS: dict[str, Method] = {
    "lora": Method("LoRA"),
    "loraplus": Method("LoRA+", loraplus=True, rate=0.5),
    "pissa": Method("PiSSA", start="pissa", rate=0.6),
    "rslora": Method("rsLoRA", rank_stabilised=True),
    "dora": Method("DoRA", weight_decomposed=True),
    "loraplus_pissa": Method("LoRA+ with PiSSA", loraplus=True, start="pissa", rate=0.3),
    "olora": Method("OLoRA", start="olora", rate=0.3),
    "eva": Method("EVA", start="eva"),
    "corda": Method("CorDA", start="corda", rate=0.6),
    "lora_ga": Method("LoRA-GA", start="lora_ga"),
    "miss": Method("MiSS", form="miss"),
    "gralora": Method("GraLoRA", form="gralora"),
    "hira": Method("HiRA", form="hira"),
}


def lora_alpha(config: MethodConfig) -> float:
    return float(config.rank) if config.alpha is None else config.alpha


def method_named(name: str) -> Method:
    """The method; of `ar-lora`, which trains the autoregressive twin, that of `lora`.

    Raises:
        InputError: a name of none of the methods, which are named.
    """
    if name.removeprefix(TWIN) not in METHODS:
        raise InputError(f"--method {name}: unknown method; one of {', '.join(METHODS)}")
    return METHODS[name.removeprefix(TWIN)]


def like_lora(name: str, lora: MethodConfig, learning_rate: float) -> MethodConfig:
    """The settings of a method for which a profile has no section: rank, targets, scaling and dropout of its `lora`.

    A start that is a part of the weight is scaled by 1 and has no dropout, which would disturb it.

    Args:
        learning_rate: `train.learning_rate`, which stands for that of `lora` where it has none.
    """
    method = method_named(name)
    scaling = METHODS["lora"].scaling(lora)
    alpha = scaling * (math.sqrt(lora.rank) if method.rank_stabilised else lora.rank)
    return lora.model_copy(
        update={
            "alpha": alpha if method.has_alpha and not method.leaves_residual else None,
            "dropout": 0.0 if method.leaves_residual else lora.dropout,
            "learning_rate": method.rate * (lora.learning_rate or learning_rate),
        }
    )


def misfits(section: str, method: Method, config: MethodConfig, quantization: str) -> Iterator[str]:
    """Settings that the method has no use for, or that do not fit each other, each in words.

    Args:
        section: where they stand in the profile. quantization: of the base.
    """
    if config.alpha is not None and not method.has_alpha:
        yield f"{section}.alpha: {config.alpha}; {method.title} has no such factor, leave it out"
    if method.form == "gralora" and config.rank % config.blocks:
        yield f"{section}.rank: {config.rank} is no multiple of {section}.blocks: {config.blocks}"
    if method.start in ("corda", "lora_ga") and quantization != "none":
        yield (
            f"model.quantization: {quantization}; {method.title} starts from passes over the whole base unquantised, "
            "so take none, or another method"
        )
    if method.form == "gralora" and quantization == "int8":
        yield "model.quantization: int8; peft's GraLoRA has no gradient on an int8 base, take nf4 or none"


def largest_rank(method: Method, narrowest: int) -> int | None:
    """The largest rank whose start can be computed on weights of which `narrowest` is the shorter side, None for any:
    as many directions as the weight has; LoRA-GA takes twice the rank of them, and EVA halves its inputs.
    """
    if method.start == "random":
        return None
    return narrowest // 2 if method.start in ("lora_ga", "eva") else narrowest
