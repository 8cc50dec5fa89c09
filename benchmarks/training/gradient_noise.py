"""How noisy are loss and gradient of one optimizer step, by the way masks and noise levels are drawn?

    python benchmarks/training/gradient_noise.py --artifacts artifacts/mini --method lora --json noise.json

Every way draws its own batches, rows included, at the same number of forward passes, around one fixed adapter. Said per
way: the variance of the loss, the gradient's total variance (the trace of its covariance), and both over those of
independent levels and masks, with a 95% bootstrap interval over the steps.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters import load_adapter
from adapters.base import load_base
from adapters.config import ModelConfig
from common.files import write_json
from common.progress import track
from llada.diffusion.importance import level_density
from llada.diffusion.loss import masked_diffusion_loss
from training.batching import Rows, read_rows
from training.config import TrainConfig
from training.global_batch import batch_of
from training.objective import Objective
from training.validation import chosen_rows, drawn_batches, validate, validation_draws

WAYS: dict[str, dict[str, Any]] = {
    "independent": {"stratified_t": False},
    "stratified": {},
    "complementary": {"masks": "complementary"},
    "importance": {"levels": "importance"},
    "both": {"masks": "complementary", "levels": "importance"},
}
"""Settings of `train`."""
RESAMPLES = 2000


def measured_density(model: Any, rows: Rows, config: Any) -> list[float]:
    """The density that a run would use after a validation with this adapter."""
    kept = chosen_rows(rows, 100)
    draws = validation_draws(kept, 4)
    batches = drawn_batches(kept, draws, 25, config.mask_token_id, torch.device("cpu"))
    objective = Objective(model, "answer_length", torch.float32)
    with torch.no_grad():
        found = validate(objective, batches, draws, len(kept), lambda values: values)
    return level_density(found.squares, kept.lengths - kept.prompt_lengths)


def drawn(
    model: Any, rows: Rows, train: TrainConfig, seed: int, steps: int, density: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (S,) and the gradients' Gram matrix (S, S) over S steps."""
    config, lengths = model.get_base_model().config, rows.lengths
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    losses, gradients = [], []
    epochs: dict[int, list[np.ndarray]] = {}
    for step in track(range(steps), f"{train.masks}, {train.levels}"):
        measured = density if train.levels == "importance" else None
        batch = batch_of(train, rows, lengths, config, seed, step, epochs, measured)
        micro = batch.micro_batch(np.arange(len(batch)))
        loss = masked_diffusion_loss(
            model, micro.rows.input_ids, micro.rows.maskable, micro.levels, micro.mask, micro.rows.attention_mask
        )
        found = torch.autograd.grad(loss, weights)
        losses.append(loss.item())
        gradients.append(torch.cat([one.flatten() for one in found]))
    stacked = torch.stack(gradients).double()
    return np.array(losses), (stacked @ stacked.T).numpy()


def total_variance(gram: np.ndarray, chosen: np.ndarray) -> float:
    """Trace of the covariance of the chosen steps' gradients, from their inner products."""
    part = gram[np.ix_(chosen, chosen)]
    count = len(chosen)
    return float((np.trace(part) - part.sum() / count) / (count - 1))


def ratios(found: dict[str, tuple[np.ndarray, np.ndarray]], steps: int) -> dict[str, Any]:
    """Each way's variances, and their ratios to those of `independent` with bootstrap intervals."""
    random = np.random.default_rng(0)
    samples = random.integers(0, steps, size=(RESAMPLES, steps))
    result = {}
    for name, (losses, gram) in found.items():
        base_losses, base_gram = found["independent"]
        loss_ratio = losses[samples].var(axis=1, ddof=1) / base_losses[samples[::-1]].var(axis=1, ddof=1)
        gradient_ratio = [
            total_variance(gram, one) / total_variance(base_gram, other)
            for one, other in zip(samples[:400], samples[::-1][:400], strict=True)
        ]
        everything = np.arange(steps)
        variance = total_variance(gram, everything)
        result[name] = {
            "loss_mean": float(losses.mean()),
            "loss_variance": float(losses.var(ddof=1)),
            "loss_ratio": float(losses.var(ddof=1) / base_losses.var(ddof=1)),
            "loss_ratio_95": np.quantile(loss_ratio, [0.025, 0.975]).tolist(),
            "gradient_variance": variance,
            "gradient_ratio": variance / total_variance(base_gram, everything),
            "gradient_ratio_95": np.quantile(gradient_ratio, [0.025, 0.975]).tolist(),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, required=True, help="of a finished run")
    parser.add_argument("--method", default="lora", help="the adapter at which gradients are taken")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", type=int, default=8, help="forward rows of a step")
    parser.add_argument("--eos-tail", default="random:16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    base = load_base(ModelConfig(), options.artifacts / "inputs" / "base")
    model = load_adapter(base, options.artifacts / "adapters" / options.method)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)
    config = model.get_base_model().config
    formatted = options.artifacts / "formatted"
    rows = read_rows(formatted / "train.parquet")
    density = measured_density(model, read_rows(formatted / "validation.parquet"), config)
    found = {}
    for name, way in WAYS.items():
        train = TrainConfig(global_batch_size=options.rows, eos_tail=options.eos_tail, **way)
        found[name] = drawn(model, rows, train, options.seed, options.steps, density)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    report = {
        "settings": settings | {"torch": torch.__version__, "machine": platform.machine(), "density": density},
        "ways": ratios(found, options.steps),
    }
    print(json.dumps(report, indent=1))
    if options.json:
        write_json(options.json, report)


if __name__ == "__main__":
    main()
