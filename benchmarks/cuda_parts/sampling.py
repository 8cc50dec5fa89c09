"""Sampling at 8 B shape in bfloat16: prompts of 128 random tokens, 128 new tokens, one token per step: recomputed
exactly, with the prefix cache, with the dual cache; and by the threshold rule; 100 prompts at a time, and one.

Answers of a random network mean nothing and it is never sure, so the threshold rule commits one token a step, as slowly
as it can; a fixed three tokens a step stands beside it. "agreement" is the share of tokens that a cache gives as the
exact sampler does. The exact one takes a quarter of the prompts, the prefix cache half: their time is proportional to
them. The floor is the
larger of what the FLOPs take at the card's measured matrix product, and of reading the weights once per forward pass at
its measured bandwidth.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks import sampling as bench
from benchmarks.cuda_parts.setting import GIB, kernels, random_network, record, setting
from benchmarks.train_step import measure_matrix_product
from llada import LLaDAModelLM, SamplerConfig

PROMPT = 128


@dataclass(frozen=True)
class Case:
    """One way to sample; the passes and their positions are for the floor."""

    name: str
    config: SamplerConfig
    rows: int
    per_block: int  # forward passes per block after the one over everything
    width: int  # positions of each of those


def main() -> None:
    given = setting(__doc__)
    prompt, new, block = (16, 16, 8) if given.quick else (PROMPT, bench.GENERATED, 32)
    model = random_network(given.config(), given.device, torch.float32 if given.quick else torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    words = given.config().eos_token_id
    prompts = torch.randint(0, words, (4 if given.quick else 100, prompt), generator=generator).tolist()
    exact = SamplerConfig(gen_length=new, block_length=block, steps=new)
    options = argparse.Namespace(token_budget=100 * (prompt + new))
    bench.run(model, prompts[:1], replace(exact, gen_length=block, steps=block, cache="dual"), options)  # warm up
    speeds = (
        {} if given.quick else {"flops": measure_matrix_product(given.device, torch.bfloat16), "bytes": bandwidth()}
    )
    if not given.quick:
        ids = torch.tensor(prompts[:25], device=given.device).repeat(1, 2)
        with torch.inference_mode():
            record("one forward pass", rows=25, positions=ids.shape[1], **kernels(lambda: model.hidden(ids)))
    reference: list[list[int]] = []
    for case in cases(exact, prompts, prompt):
        if reference and not given.wants(case.name):  # the first always, with which the others are compared
            continue
        measured, answers = bench.run(model, prompts[: case.rows], case.config, options)
        reference = reference or answers
        record(case.name, **judged(case, measured, model, prompts, agreement(reference, answers), speeds))


def cases(exact: SamplerConfig, prompts: list[list[int]], prompt: int) -> list[Case]:
    """The exact one first: the others are compared with its answers."""
    rows, new, block = len(prompts), exact.gen_length, exact.block_length
    prefix, dual = replace(exact, cache="prefix"), replace(exact, cache="dual")
    after = block - 1  # steps of a block besides the one that fills the cache
    triple = replace(dual, steps=new // block * -(-block // 3))
    middle = block + (new - block) // 2  # what the prefix cache recomputes: the block and, on average, half of the rest
    return [
        Case("exact", exact, max(1, rows // 4), after, prompt + new),
        Case("dual", dual, rows, after, block),
        Case("prefix", prefix, max(1, rows // 2), after, middle),
        Case("threshold, dual", replace(dual, rule="threshold"), rows, after, block),
        Case("dual, 3 tokens a step", triple, rows, -(-block // 3) - 1, block),
        Case("dual, batch 1", dual, 1, after, block),
        Case("dual, 3 tokens a step, batch 1", triple, 1, -(-block // 3) - 1, block),
    ]


def judged(
    case: Case,
    measured: dict[str, Any],
    model: LLaDAModelLM,
    prompts: list[list[int]],
    agreed: float,
    speeds: dict[str, float],
) -> dict[str, Any]:
    """Seconds for all prompts, and the floor."""
    share = 1 if case.rows == 1 else len(prompts) / case.rows
    found = {
        "rows": case.rows,
        "seconds": measured["seconds_per_item"] * case.rows,
        "seconds_for_all": measured["seconds_per_item"] * case.rows * share,
        "committed_per_second": case.config.gen_length / measured["seconds_per_item"],
        "forward_passes": measured["forward_passes"],
        "peak_gib": measured.get("peak_memory_gib"),
        "agreement": agreed,
    }
    if speeds:
        found |= {"speeds": speeds, "floor_seconds_for_all": floor(case, model, len(prompts[0]), speeds) * share}
    return found


def floor(case: Case, model: LLaDAModelLM, prompt: int, speeds: dict[str, float]) -> float:
    """Seconds below which this card cannot do the case's forward passes over `case.rows` prompts."""
    body = sum(p.numel() for p in model.model.transformer.blocks.parameters())
    head = model.get_output_embeddings().weight.numel()
    whole, block = prompt + case.config.gen_length, case.config.block_length
    blocks = case.config.gen_length // block

    def one(positions: int) -> float:
        flops = 2 * case.rows * (body * positions + head * block)
        return max(flops / speeds["flops"], 2 * (body + head) / speeds["bytes"])

    return blocks * (one(whole) + case.per_block * one(case.width))


def bandwidth(size: int = 4 * GIB) -> float:
    """Bytes per second that this card reads and writes when it copies: the best of five."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target, best = torch.empty_like(source), float("inf")
    for _ in range(5):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        target.copy_(source)
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end) / 1e3)
    return 2 * size / best


def agreement(reference: list[list[int]], answers: list[list[int]]) -> float:
    """Share of equal tokens among the prompts that both answered."""
    pairs = [pair for one, two in zip(reference, answers, strict=False) for pair in zip(one, two, strict=False)]
    return sum(one == two for one, two in pairs) / max(1, len(pairs))


if __name__ == "__main__":
    main()
