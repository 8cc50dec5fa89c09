"""Does a larger budget make answers longer? Answer lengths by the policy of the supervised tail, at growing budgets.

    python benchmarks/training/answer_length.py --artifacts artifacts/mini --output lengths --steps 300 --items 20

Each policy trains one adapter of the same method, seed and steps on the profile's formatted splits (read from
`--artifacts`); a finished one is read. The same test items are then answered with `gen_length` 64, 128, 256 and 512,
four tokens per step, no rule for stop tokens (`eos_policy: none`), so that the tail alone decides where an answer ends.
Said per policy and budget: mean answer length in tokens with a 95% bootstrap interval over items, the reference's, the
share of empty answers and of those that reach the budget without an end. One training per policy: what differs between
two policies differs between two trainings.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from common.files import read_json, write_json

POLICIES = ("all", "first:8", "random:16", "rainbow:7", "none")
RESAMPLES = 2000


def main() -> None:
    options = parsed()
    from eval.measure.evaluate import load_system, read_test_set
    from pipeline.paths import Paths
    from pipeline.profile import load_profile
    from pipeline.stages.train import training_plan
    from training.plan import is_finished
    from training.trainer import train

    paths = Paths.of(options.profile, options.artifacts)
    tests = read_test_set(paths.formatted / "test.parquet")
    chosen = np.random.default_rng(options.seed).permutation(len(tests.prompts))[: options.items]
    found: dict[str, Any] = {}
    for policy in options.policies:
        wanted = (f"train.eos_tail={policy}", f"train.max_steps={options.steps}", "train.validate_every=1000000")
        profile = load_profile(options.profile, wanted)
        plan = training_plan(profile, paths, options.method)
        plan = replace(plan, output=options.output / policy.replace(":", "-"), scratch=options.output / "scratch")
        if not is_finished(plan):
            train(plan)
        network, tokenizer = load_system(plan.model, plan.base, plan.output)
        prompts = [tests.prompts[item] for item in chosen]
        references = [len(tests.answers[item]) - 1 for item in chosen]  # without the stop token
        found[policy] = {
            "validation_bound": read_json(plan.output / "run.json")["validation"]["last"]["loss"],
            "reference_tokens": float(np.mean(references)),
            "budgets": {
                str(budget): lengths_at(network, tokenizer, prompts, budget, options) for budget in options.budgets
            },
        }
        write_json(options.output / "answer_length.json", described(options) | {"policies": found})
        print(policy, found[policy], flush=True)


def lengths_at(network: Any, tokenizer: Any, prompts: list[Any], budget: int, options: Any) -> dict[str, Any]:
    """Answer lengths of these prompts with so many tokens of room."""
    from eval.measure.generation import generate_answers
    from llada.sampling.settings import SamplerConfig

    config = SamplerConfig(gen_length=budget, block_length=32, steps=budget // 4, stop_at_eos=True, eos_policy="none")
    answers, cost = generate_answers(network, tokenizer, prompts, config, batch_size=4, seed=options.seed)
    tokens = np.array([answer.tokens for answer in answers], dtype=float)
    means = np.random.default_rng(0).choice(tokens, (RESAMPLES, len(tokens))).mean(axis=1)
    return {
        "tokens": float(tokens.mean()),
        "low": float(np.quantile(means, 0.025)),
        "high": float(np.quantile(means, 0.975)),
        "empty": float(np.mean(tokens == 0)),
        "without_end": float(np.mean([not answer.stopped for answer in answers])),
        "seconds": cost.seconds,
    }


def described(options: argparse.Namespace) -> dict[str, Any]:
    names = ("profile", "method", "steps", "items", "seed")
    return {"settings": {name: getattr(options, name) for name in names}, "unit": "tokens before the end"}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--artifacts", type=Path, required=True, help="with formatted splits and inputs")
    parser.add_argument("--output", type=Path, required=True, help="adapters and answer_length.json")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--budgets", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


if __name__ == "__main__":
    main()
