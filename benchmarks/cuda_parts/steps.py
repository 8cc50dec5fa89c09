"""A training step at 8 B shape, bfloat16, LoRA of rank 16 on all projections, rows of 512 tokens (`train_step.py`):
against the plain recipe; with activation checkpointing; on an NF4 base with checkpointing; with `torch.compile`.

Beside each speed stands the ceiling: what the card's own matrix product, measured here, allows at the step's FLOPs.
"""

from __future__ import annotations

import gc
from typing import Any

import torch

from benchmarks import train_step
from benchmarks.cuda_parts.setting import GIB, Setting, kernels, lacks_bitsandbytes, record, setting

FULL = "--shape 8b --device cuda --dtype bfloat16 --rank 16 --length 512 --warmup 2 --steps 5"
TOY = "--shape tiny --vocabulary 512 --dtype bfloat16 --rank 4 --length 32 --warmup 1 --steps 2"
CASES = {
    "bfloat16": ("--batch 16", "a b"),
    "bfloat16, checkpointing": ("--batch 32 --checkpointing", "a"),
    "NF4, checkpointing": ("--batch 8 --checkpointing --quantization nf4", "a"),
    "bfloat16, compiled": ("--batch 16 --compile {backend}", "a"),
    "bfloat16, checkpointing, compiled": ("--batch 32 --checkpointing --compile {backend}", "a"),
}


def main() -> None:
    given = setting(__doc__)
    for name, (words, variants) in CASES.items():
        if not given.wants(name):
            continue
        if "nf4" in words and lacks_bitsandbytes(name):
            continue
        measure(given, name, words, variants)
        gc.collect()
        if not given.quick:
            torch.cuda.empty_cache()


def measure(given: Setting, name: str, words: str, variants: str) -> None:
    """Record one case: speed, its ceiling, peak memory."""
    common = TOY if given.quick else FULL
    backend = "eager" if given.quick else "inductor"  # in a toy run there is no time to compile for the CPU
    words = f"{common} {words.format(backend=backend)}" + (" --batch 2" if given.quick else "")
    options = train_step.parse_arguments([*words.split(), "--variants", *variants.split()])
    setup = train_step.Setup(options)
    results = train_step.time_variants(setup, options)
    figures: dict[str, Any] = {"command": f"python benchmarks/train_step.py {words} --variants {variants}"}
    for variant, label in (("a", "this"), ("b", "plain")):
        if variant in results:
            figures[label] = shown(results[variant])
    if not given.quick:
        batch = setup.batch(options.batch, options.length, 0)
        figures["kernels"] = kernels(lambda: setup.step("a", batch))
    record(name, **figures, ratios=train_step.ratios(results), theory=train_step.theory(setup, options, results))


def shown(result: dict[str, Any]) -> dict[str, Any]:
    peak = {"peak_gib": result["peak_bytes"] / GIB} if "peak_bytes" in result else {}
    return {key: result[key] for key in ("batch", "tokens_per_second", "seconds_per_step", "mean_loss")} | peak


if __name__ == "__main__":
    main()
