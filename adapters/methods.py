"""The adaptation methods: one entry each, all of them peft LoRA on a frozen base.

| name | what is different | source |
|---|---|---|
| lora | B = 0, A random, one learning rate | Hu et al. 2021, arXiv 2106.09685 |
| loraplus | B learns `ratio` times as fast as A | Hayou et al. 2024, arXiv 2402.12354 |
| pissa | A and B start as the principal part of the weight | Meng et al. 2024, arXiv 2404.02948 |
| rslora | update scaled by alpha / sqrt(rank) | Kalajdzievski 2023, arXiv 2312.03732 |
| dora | magnitude and direction of the weight apart | Liu et al. 2024, arXiv 2402.09353 |
| loraplus_pissa | the start of PiSSA, the rates of LoRA+ | what the original Indonesian study ran |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from adapters.config import MethodConfig
from common.errors import InputError


@dataclass(frozen=True)
class Method:
    """What distinguishes one method from plain LoRA."""

    title: str
    loraplus: bool = False
    pissa: bool = False
    rank_stabilised: bool = False
    weight_decomposed: bool = False

    def scaling(self, config: MethodConfig) -> float:
        """The factor on B A: alpha / rank, or alpha / sqrt(rank) where rank-stabilised."""
        alpha = lora_alpha(config)
        return alpha / (math.sqrt(config.rank) if self.rank_stabilised else config.rank)


METHODS: dict[str, Method] = {
    "lora": Method("LoRA"),
    "loraplus": Method("LoRA+", loraplus=True),
    "pissa": Method("PiSSA", pissa=True),
    "rslora": Method("rsLoRA", rank_stabilised=True),
    "dora": Method("DoRA", weight_decomposed=True),
    "loraplus_pissa": Method("LoRA+ with PiSSA", loraplus=True, pissa=True),
}


def lora_alpha(config: MethodConfig) -> float:
    return float(config.rank) if config.alpha is None else config.alpha


def method_named(name: str) -> Method:
    """Raises InputError, naming the methods there are, for a name that is none of them."""
    if name not in METHODS:
        raise InputError(f"--method {name}: unknown method; one of {', '.join(METHODS)}")
    return METHODS[name]
