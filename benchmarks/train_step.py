"""One training step, three ways, side by side in one process.

    (a) this implementation   logits at masked positions alone, in slices, gradient taken on the way; `adapters.forward`
    (b) the plain recipe      as LLaDA's guideline has it: all logits, float32 cross-entropy at all positions; the
                              published network's operations one by one, peft's layers as they come
    (c) gather after logits   as (b), but cross-entropy at the masked positions alone

All three train the same LoRA adapter on the same frozen weights with the same noise; their mean losses are printed
side by side. A step is forward, backward and AdamW. The variants take turns, round by round, and the median counts, so
a busy machine hurts all alike; on the CPU the processor seconds of all threads are given too. Tokens are all B x L.

Peak memory. CUDA: the allocator's peak over the measured steps. CPU: the growth of the process's resident set during
the steps, in a fresh process per variant (its high-water mark after, minus its resident set before, after a small
warm-up step), plus the size of the weights, as the CUDA figure has them; the whole process's peak is given, too.

    python benchmarks/train_step.py            # tiny body, full head, LoRA r 8, 4 x 256 tokens, CPU
    python benchmarks/train_step.py --shape 8b --device cuda --dtype bfloat16 --rank 16 --batch 16 --length 512
    python benchmarks/train_step.py --shape 8b --device cuda --dtype bfloat16 --rank 16 --batch 8 --length 512 \\
        --quantization nf4 --checkpointing --variants a

Needs torch, transformers, safetensors and peft (and bitsandbytes for --quantization); runs from a bare checkout.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from adapters.attach import adapted_layers
from adapters.base import quantise
from adapters.config import ModelConfig
from adapters.forward import lean_forward_passes, spare_casts
from benchmarks.cuda_parts.setting import random_network
from common.memory import peak_resident_bytes, resident_bytes
from llada import LLaDAConfig, LLaDAModelLM
from llada.diffusion.loss import forward_process, masked_diffusion_loss
from llada.diffusion.noise import noise_levels, noise_mask
from llada.network import modeling

NAMES = {"a": "this implementation", "b": "plain recipe", "c": "gather after logits"}
TARGETS = r".*blocks\.\d+\.(q_proj|k_proj|v_proj|attn_out|ff_proj|up_proj|ff_out)"
PROMPT_SHARE = 0.25  # of each row, never masked
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"d_model": 64, "n_layers": 2, "n_heads": 4, "mlp_hidden_size": 192},
    "8b": {"d_model": 4096, "n_layers": 32, "n_heads": 32, "mlp_hidden_size": 12288},
}
DENSE_BF16_H200 = 790e12  # FLOP/s, the best dense bfloat16 matrix product measured on an H200


def main() -> None:
    options = parse_arguments()
    if options.measure_memory_of:
        print(json.dumps(cpu_memory(options, options.measure_memory_of)))
        return
    print_settings(options)
    setup = Setup(options)
    results = time_variants(setup, options)
    if options.device == "cpu":
        for variant in results:
            results[variant] |= memory_in_fresh_process(variant)
    report = {
        "settings": settings(options),
        "results": results,
        "ratios": ratios(results),
        "theory": theory(setup, options, results),
    }
    print_report(report)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(f"written: {options.output}")


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Of these words, or of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="size of the body (default tiny)")
    parser.add_argument("--vocabulary", type=int, default=126464, help="words of the head (default 126464)")
    parser.add_argument("--batch", type=int, default=4, help="rows (default 4)")
    parser.add_argument("--length", type=int, default=256, help="tokens per row (default 256)")
    parser.add_argument("--rank", type=int, default=8, help="LoRA rank on all seven projections (default 8)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the base")
    parser.add_argument("--variants", nargs="+", choices=sorted(NAMES), default=sorted(NAMES), help="default a b c")
    parser.add_argument("--steps", type=int, default=7, help="measured rounds (default 7)")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before (default 2)")
    parser.add_argument("--checkpointing", action="store_true", help="recompute the blocks' activations")
    parser.add_argument("--quantization", choices=("none", "nf4"), default="none", help="of the blocks (bitsandbytes)")
    parser.add_argument("--compile", metavar="BACKEND", help="torch.compile per block, for example inductor")
    parser.add_argument("--chunk-bytes", type=int, help="bytes of logits at once in (a); default by the device")
    parser.add_argument("--seed", type=int, default=0, help="weights and noise (default 0)")
    parser.add_argument("--output", type=Path, help="write the report as JSON")
    parser.add_argument("--measure-memory-of", choices=sorted(NAMES), help=argparse.SUPPRESS)
    return parser.parse_args(words)


class Setup:
    """The network with its adapter, the optimizer, the batch."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, self.dtype = torch.device(options.device), getattr(torch, options.dtype)
        torch.manual_seed(options.seed)
        self.base = build_base(options, self.device, self.dtype)
        self.model = add_adapter(self.base, options.rank)
        if options.checkpointing:
            self.base.model.gradient_checkpointing = True
        if options.compile:
            self.base.compile_blocks(backend=options.compile)
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trainable, lr=1e-4, fused=True)  # as the trainer
        self.weight_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())
        self.chunk_bytes, self.seed = options.chunk_bytes, options.seed

    def batch(self, rows: int, length: int, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        input_ids = torch.randint(0, self.base.config.vocab_size - 1, (rows, length), generator=generator)
        maskable = (torch.arange(length) >= int(length * PROMPT_SHARE)).expand(rows, length)
        t = noise_levels(self.seed, step, range(rows), global_batch_size=rows)
        mask = noise_mask(self.seed, step, range(rows), maskable, t)
        return {"input_ids": input_ids.to(self.device), "maskable": maskable, "t": t, "mask": mask}

    def step(self, variant: str, batch: dict[str, Tensor]) -> float:
        self.optimizer.zero_grad()
        with nullcontext() if variant == "a" else plain_network(self.model):
            with torch.autocast(self.device.type, self.dtype) if self.dtype != torch.float32 else nullcontext():
                loss = LOSSES[variant](self, **batch)
            loss.backward()
        self.optimizer.step()
        return loss.item()


def this_implementation(setup: Setup, input_ids: Tensor, maskable: Tensor, t: Tensor, mask: Tensor) -> Tensor:
    return masked_diffusion_loss(setup.model, input_ids, maskable, t, mask, chunk_bytes=setup.chunk_bytes)


def plain_recipe(setup: Setup, input_ids: Tensor, maskable: Tensor, t: Tensor, mask: Tensor) -> Tensor:
    mask, weights = loss_weights(input_ids, maskable, t, mask)
    logits = setup.model(
        input_ids=forward_process(input_ids, mask, setup.base.config.mask_token_id)
    ).logits  # (B, L, V)
    losses = F.cross_entropy(logits.float().flatten(0, 1), input_ids.flatten(), reduction="none").view_as(mask)
    return (losses * mask * weights).sum()


def gather_after_logits(setup: Setup, input_ids: Tensor, maskable: Tensor, t: Tensor, mask: Tensor) -> Tensor:
    mask, weights = loss_weights(input_ids, maskable, t, mask)
    logits = setup.model(
        input_ids=forward_process(input_ids, mask, setup.base.config.mask_token_id)
    ).logits  # (B, L, V)
    return (F.cross_entropy(logits[mask].float(), input_ids[mask], reduction="none") * weights[mask]).sum()


def loss_weights(input_ids: Tensor, maskable: Tensor, t: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mask on the tokens' device and 1 / (t * answer length * B) per position, (B, L)."""
    weights = 1 / (t * maskable.sum(dim=1) * len(input_ids))
    return mask.to(input_ids.device), weights.to(input_ids.device)[:, None].expand_as(input_ids)


LOSSES: dict[str, Callable[..., Tensor]] = {"a": this_implementation, "b": plain_recipe, "c": gather_after_logits}


def build_base(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Any:
    words = options.vocabulary
    special = {"mask_token_id": words - 1, "eos_token_id": words - 2, "pad_token_id": words - 2}
    config = LLaDAConfig(vocab_size=words, **SHAPES[options.shape], **special)
    if device.type == "cpu":
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        base = LLaDAModelLM(config)
        torch.set_default_dtype(before)
    else:
        base = random_network(config, device, dtype)
    quantise(base, ModelConfig.model_validate({"quantization": options.quantization, "dtype": options.dtype}), device)
    base.to(device)  # type: ignore[arg-type]
    return base.requires_grad_(False)


def add_adapter(base: Any, rank: int) -> nn.Module:
    """The network with LoRA on every projection of the blocks, as the trainer runs it."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(base, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS))
    lean_forward_passes(model)
    spare_casts(model)
    model.train()
    return model


@contextmanager
def plain_network(model: Any) -> Iterator[None]:
    """The published modeling code's operations, and peft's layers as they come, within the block."""

    def norm(self: Any, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            wide = x.to(torch.float32)
            variance = wide.pow(2).mean(-1, keepdim=True)
            wide = wide * torch.rsqrt(variance + self.eps)
            return self.weight * wide.to(x.dtype)

    def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        wide = x.float()
        first, second = wide.chunk(2, dim=-1)
        return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)

    with ExitStack() as changed:
        changed.enter_context(patch.object(modeling.LLaDARMSNorm, "forward", norm))
        changed.enter_context(patch.object(modeling, "rotate", rotated))
        for block in model.get_base_model().model.blocks:  # not the compiled ones
            changed.enter_context(patch.object(block, "_compiled_call_impl", None))
        for layer in adapted_layers(model).values():
            changed.enter_context(patch.object(layer, "forward", types.MethodType(type(layer).forward, layer)))
            changed.enter_context(patch.object(layer, "cast_input_dtype_enabled", True))
        yield


def time_variants(setup: Setup, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    cuda = setup.device.type == "cuda"
    rows = dict.fromkeys(options.variants, int(options.batch))
    seconds: dict[str, list[float]] = {variant: [] for variant in options.variants}
    cpu_seconds: dict[str, list[float]] = {variant: [] for variant in options.variants}
    peaks = dict.fromkeys(options.variants, 0)
    losses: dict[str, list[float]] = {variant: [] for variant in options.variants}
    for step in range(options.warmup + options.steps):
        for variant in options.variants:
            batch = setup.batch(rows[variant], options.length, step)
            if cuda:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            try:
                begin, cpu_begin = time.perf_counter(), time.process_time()
                loss = setup.step(variant, batch)
                if cuda:
                    torch.cuda.synchronize()
                took, cpu_took = time.perf_counter() - begin, time.process_time() - cpu_begin
            except torch.OutOfMemoryError:
                rows[variant] = halve(rows[variant], variant)
                seconds[variant].clear()
                torch.cuda.empty_cache()
                continue
            if step >= options.warmup:
                seconds[variant].append(took)
                cpu_seconds[variant].append(cpu_took)
                losses[variant].append(loss)
                peaks[variant] = max(peaks[variant], torch.cuda.max_memory_allocated() if cuda else 0)
            note(f"round {step + 1}/{options.warmup + options.steps}, ({variant}) {took:.3f} s")
    results: dict[str, dict[str, Any]] = {}
    for variant in options.variants:
        median = statistics.median(seconds[variant])
        results[variant] = {
            "name": NAMES[variant],
            "batch": rows[variant],
            "seconds_per_step": median,
            "seconds": seconds[variant],
            "tokens_per_second": rows[variant] * options.length / median,
            "mean_loss": statistics.fmean(losses[variant]),
        }
        if cuda:
            results[variant]["peak_bytes"] = peaks[variant]
        else:
            results[variant]["cpu_seconds_per_step"] = statistics.median(cpu_seconds[variant])
    return results


def halve(rows: int, variant: str) -> int:
    if rows == 1:
        raise SystemExit(f"({variant}) does not fit on this device even with one row")
    note(f"({variant}) runs out of memory with {rows} rows, going on with {rows // 2}")
    return rows // 2


def memory_in_fresh_process(variant: str) -> dict[str, int]:
    note(f"memory of ({variant}) in a fresh process")
    command = [sys.executable, __file__, *sys.argv[1:], "--measure-memory-of", variant]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def cpu_memory(options: argparse.Namespace, variant: str) -> dict[str, int]:
    setup = Setup(options)
    setup.step(variant, setup.batch(1, 8, 0))  # loads the libraries and creates the optimizer's state
    before = resident_bytes()
    if before is None:
        raise SystemExit("memory on the CPU is measured on Linux alone")
    for step in range(3):
        setup.step(variant, setup.batch(options.batch, options.length, step))
    peak = peak_resident_bytes()
    growth = max(0, peak - before)
    return {
        "peak_bytes": setup.weight_bytes + growth,
        "step_growth_bytes": growth,
        "weight_bytes": setup.weight_bytes,
        "process_peak_bytes": peak,
    }


def ratios(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    figures = {}
    for other in ("b", "c"):
        if "a" in results and other in results:
            figures[f"speed_over_{other}"] = results["a"]["tokens_per_second"] / results[other]["tokens_per_second"]
            if "cpu_seconds_per_step" in results["a"]:
                cpu = (results[variant]["cpu_seconds_per_step"] for variant in (other, "a"))
                figures[f"cpu_seconds_of_{other}_over_a"] = next(cpu) / next(cpu)
            for field in ("peak_bytes", "step_growth_bytes", "process_peak_bytes"):
                if field in results["a"]:
                    figures[f"{field}_of_{other}_over_a"] = results[other][field] / results["a"][field]
    return figures


def theory(setup: Setup, options: argparse.Namespace, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """FLOP per token of (a), the speed that the device's matrix products allow, and the share of it reached.

    Per token, with P frozen body parameters, A adapter parameters, a share m of masked tokens: forward and the gradient
    of the activations 2P each, 6A for the adapters, attention 4LD forward and 8LD backward per layer, the head 4mVD.
    Full checkpointing repeats the body's forward. Model FLOP utilisation leaves that repetition out.
    """
    config, length = setup.base.config, options.length
    block = 2 * config.d_model**2 + 2 * config.d_model * config.n_kv_heads * config.head_dim
    body = config.n_layers * (block + 3 * config.d_model * config.mlp_hidden_size)
    adapter = sum(parameter.numel() for parameter in setup.trainable)
    forward = 2 * body + 2 * adapter + config.n_layers * 4 * length * config.d_model
    masked = (1 - PROMPT_SHARE) / 2
    model = 4 * body + 6 * adapter + config.n_layers * 12 * length * config.d_model
    model += 4 * masked * config.embedding_size * config.d_model
    executed = model + (forward if options.checkpointing else 0)
    figures: dict[str, Any] = {"model_flop_per_token": model, "executed_flop_per_token": executed}
    if setup.device.type == "cuda" and "a" in results:
        speed = results["a"]["tokens_per_second"]
        measured = measure_matrix_product(setup.device, setup.dtype)
        figures |= {
            "device": torch.cuda.get_device_name(setup.device),
            "measured_matrix_flop_per_second": measured,
            "ceiling_tokens_per_second_h200": DENSE_BF16_H200 / executed,
            "share_of_ceiling_h200": speed * executed / DENSE_BF16_H200,
            "share_of_measured_ceiling": speed * executed / measured,
            "model_flop_utilisation": speed * model / measured,
        }
    return figures


def measure_matrix_product(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """FLOP/s of a large square matrix product on this device: the best of ten."""
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.mm(left, right)
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end) / 1e3)
    return 2 * size**3 / best


def settings(options: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: value for name, value in vars(options).items() if name not in ("output", "measure_memory_of")}
    versions = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    machine = {"threads": torch.get_num_threads(), "machine": platform.machine()}
    return chosen | SHAPES[options.shape] | versions | machine


def print_settings(options: argparse.Namespace) -> None:
    print("settings: " + ", ".join(f"{name} {value}" for name, value in settings(options).items()))


def print_report(report: dict[str, Any]) -> None:
    for variant, result in report["results"].items():
        memory = "".join(
            f", {label} {result[field] / 2**20:,.0f} MiB"
            for field, label in (("peak_bytes", "peak"), ("process_peak_bytes", "whole process"))
            if field in result
        )
        print(
            f"({variant}) {result['name']:<20} {result['seconds_per_step']:.3f} s/step, batch {result['batch']}, "
            f"{result['tokens_per_second']:,.0f} tokens/s{memory}, mean loss {result['mean_loss']:.4f}"
        )
    for name, value in report["ratios"].items():
        print(f"{name.replace('_', ' ')}: {value:.2f}")
    for name, value in report["theory"].items():
        print(f"{name.replace('_', ' ')}: {value:,.4g}" if isinstance(value, float | int) else f"{name}: {value}")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
