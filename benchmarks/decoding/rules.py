"""Every rule, score, exit and cache of the sampler on the same items, model and machine.

    python benchmarks/decoding/rules.py --artifacts artifacts/mini --method lora --json FILE --plot FILE.svg
    python benchmarks/decoding/rules.py --artifacts artifacts/mini --method lora --rows 16 --curves quota threshold

Each curve is a rule with one setting varied. A point is measured at each batch size: forward passes, tokens (up to an
answer's stop) per pass, seconds, the smaller batches over the first `--timed-rows` items alone; and once over all
items, since a batch changes no answer (which is checked): agreement with exact decoding (`quota`, one token per step,
no cache), chrF++ against the references, its difference to exact decoding's and the likelihood bound that the model
gives the answers, with 95% intervals over items. Every point carries all its settings. From the passes of the smallest
batch follow each curve's area under parallelism and the picture of quality against passes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.decoding.pareto import area_under_parallelism, draw
from common.files import write_json
from common.progress import track
from llada import LLaDAModelLM, SamplerConfig, generate
from llada.chat_format import decode_answer, load_tokenizer
from llada.diffusion.likelihood import log_likelihoods
from llada.sampling.batches import left_pad
from llada.sampling.token_choice import token_frequencies

Settings = dict[str, Any]
PER_STEP = (1, 2, 4)  # tokens per step of the rule quota
ABOVE = [{"threshold": value} for value in (0.9, 0.8, 0.6)]
GAPS = [{"exit_gap_first": first, "exit_gap_last": last} for first, last in ((7.5, 2.5), (5.0, 1.0))]


def curves(gen_length: int) -> dict[str, list[Settings]]:
    """What is measured, under the names of the report: a rule and values of the setting that is varied, its paper's
    first."""
    growing = {"gen_length": gen_length // 4, "steps": gen_length // 4, "max_gen_length": gen_length}
    quota = [{"steps": gen_length // count} for count in PER_STEP]
    return {
        "quota": quota,
        "quota, positional": [{"remasking": "positional", **settings} for settings in quota],
        "threshold": [{"rule": "threshold", **settings} for settings in ABOVE],
        "factor": [{"rule": "factor", "factor": value} for value in (1.0, 0.5, 2.0)],
        "entropy_bound": [{"rule": "entropy_bound", "entropy_bound": value} for value in (0.1, 0.3, 1.0)],
        "revoke": [{"rule": "revoke", "draft_threshold": value} for value in (0.6, 0.8, 0.3)],
        "local_leap": [{"rule": "local_leap", "leap_threshold": value} for value in (0.75, 0.6, 0.4)],
        "credit": [{"rule": "credit", **settings} for settings in ABOVE],
        "klass": [{"rule": "klass", **settings} for settings in ABOVE],
        "hierarchy": [{"rule": "hierarchy", "run_threshold": value} for value in (0.4, 0.6, 0.2)],
        "quota, SchED linear": [{"early_exit": "sched_linear", **gaps} for gaps in GAPS],
        "quota, SchED cosine": [{"early_exit": "sched_cosine", **gaps} for gaps in GAPS],
        "quota, stable": [{"early_exit": "stable", "exit_entropy": value} for value in (0.005, 0.2)],
        "quota, drafts": [{"draft_steps": 3}],
        "quota, growing": [{**growing, "insert_masks": masks} for masks in (0, 8)],
        "threshold, drafts": [{"rule": "threshold", "draft_steps": 3}],
    }


@dataclass(frozen=True)
class Items:
    """The items that every point answers."""

    prompts: list[list[int]]
    references: list[str]
    frequencies: torch.Tensor  # (V,), of the answers in training

    def first(self, count: int) -> Items:
        return replace(self, prompts=self.prompts[:count], references=self.references[:count])


def main() -> None:
    options = parse_arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    model, tokenizer = load(options)
    items = read_items(options, model)
    report: dict[str, Any] = {**environment(options), "points": measured_before(options)}
    base = SamplerConfig(
        gen_length=options.gen_length,
        block_length=options.block_length,
        steps=options.gen_length,
        stop_at_eos=True,
        eos_policy=options.eos_policy,
    )
    known = curves(options.gen_length)
    chosen = {name: points[: options.values] for name, points in known.items() if name in options.curves}
    work = [(name, point, cache) for cache in options.caches for name, points in chosen.items() for point in points]
    there = [(point["curve"], point["varied"], point["cache"]) for point in report["points"]]
    work = [point for point in work if point not in there]
    exact = answers_of(model, items, base, max(options.batches))[0] if work else []
    for name, point, cache in track(work, "points", total=len(work)):
        config = replace(base, **point, cache=cache)
        measured = measure(model, tokenizer, items, config, exact, options)
        report["points"].append({"curve": name, "varied": point, **measured})
        if options.json:  # a run takes long: what is there is kept
            write_json(options.json, report)
    report["curves"] = summary(report["points"], min(options.batches))
    print(json.dumps(report["curves"], indent=2))
    if options.json:
        write_json(options.json, report)
    if options.plot:
        draw({name: curve["quality_by_passes"] for name, curve in report["curves"].items()}, options.plot)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, required=True, help="of a finished profile")
    parser.add_argument("--method", default="lora", help="the adapter, or base")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=None, help="of the CPU; default torch's")
    parser.add_argument("--rows", type=int, default=100, help="test items")
    parser.add_argument("--timed-rows", type=int, default=100, help="of them, by the batches below the largest")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 100], help="items at a time")
    parser.add_argument("--caches", nargs="+", default=["none", "prefix", "dual"])
    parser.add_argument("--curves", nargs="+", default=list(curves(64)), metavar="NAME", help="default: all")
    parser.add_argument(
        "--values", type=int, default=None, help="of each curve's setting, its paper's first; default all"
    )
    parser.add_argument("--gen-length", type=int, default=64)
    parser.add_argument("--block-length", type=int, default=16)
    parser.add_argument("--eos-policy", choices=["none", "last"], default="last")
    parser.add_argument("--bound-samples", type=int, default=8, help="of the likelihood bound, per item")
    parser.add_argument("--json", type=Path, default=None, help="write the result here; goes on with what is there")
    parser.add_argument("--plot", type=Path, default=None, help="draw quality against passes here (.svg, .png)")
    return parser.parse_args()


def measured_before(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The points of a file that a run of the same items has left."""
    if options.json is None or not options.json.is_file():
        return []
    before = json.loads(options.json.read_text(encoding="utf-8"))
    same = {"rows": options.rows, "timed_rows": min(options.rows, options.timed_rows), "dtype": options.dtype}
    if any(before[name] != value for name, value in same.items()):
        sys.exit(f"{options.json}: of another run, needed {same}; give --json another name")
    return before["points"]


def load(options: argparse.Namespace) -> tuple[Any, Any]:
    """The network, its adapter merged, and the tokenizer."""
    from pipeline.paths import Paths, read_inputs

    folder = read_inputs(Paths.of("mini", options.artifacts)).base
    model = LLaDAModelLM.from_pretrained(folder, dtype=getattr(torch, options.dtype))
    if options.method != "base":
        from adapters.storage import load_adapter

        model = load_adapter(model, options.artifacts / "adapters" / options.method).merge_and_unload()
    return model.eval().to(options.device), load_tokenizer(folder)


def read_items(options: argparse.Namespace, model: Any) -> Items:
    import pyarrow.parquet as pq

    folder = options.artifacts / "formatted"
    columns = ["input_ids", "prompt_length", "answer"]
    test = pq.read_table(folder / "test.parquet", columns=columns).slice(0, options.rows).to_pylist()
    training = pq.read_table(folder / "train.parquet", columns=columns[:2]).to_pylist()
    answers = [row["input_ids"][row["prompt_length"] :] for row in training]
    size = model.config.embedding_size or model.config.vocab_size
    prompts = [row["input_ids"][: row["prompt_length"]] for row in test]
    return Items(prompts, [row["answer"] for row in test], token_frequencies(answers, size).to(options.device))


def answers_of(model: Any, items: Items, config: SamplerConfig, batch: int) -> tuple[list[list[int]], int, float]:
    """Answers up to their stop, forward passes and seconds, `batch` items of similar length at a time."""
    answers: list[list[int]] = [[] for _ in items.prompts]
    order = sorted(range(len(items.prompts)), key=lambda item: len(items.prompts[item]))
    passes, begin = 0, time.perf_counter()
    for first in range(0, len(order), batch):
        chunk = order[first : first + batch]
        ids, mask = left_pad([items.prompts[item] for item in chunk], model.config.pad_token_id or 0, model.device)
        result = generate(model, ids, mask, config, row_ids=chunk, frequencies=items.frequencies)
        passes += result.forward_passes
        rows = zip(chunk, result.tokens[:, ids.shape[1] :].tolist(), result.answer_lengths.tolist(), strict=True)
        for item, row, length in rows:
            answers[item] = row[:length]
    return answers, passes, time.perf_counter() - begin


def measure(
    model: Any, tokenizer: Any, items: Items, config: SamplerConfig, exact: list[list[int]], options: argparse.Namespace
) -> dict[str, Any]:
    batches, answers = {}, []
    for batch in sorted(set(options.batches), reverse=True):
        again, passes, seconds = answers_of(model, items.first(options.timed_rows) if answers else items, config, batch)
        answers = answers or again
        tokens = sum(map(len, again))
        batches[str(batch)] = {
            "items": len(again),
            "forward_passes": passes,
            "tokens": tokens,
            "tokens_per_pass": tokens / passes,
            "passes_per_item": passes / len(again),
            "seconds": seconds,
            "answers_that_differ_from_the_largest_batch": sum(a != b for a, b in zip(answers, again, strict=False)),
        }
    equal = sum(a == b for old, new in zip(exact, answers, strict=True) for a, b in zip(old, new, strict=False))
    quality = {
        "agreement_with_exact": equal / sum(map(len, exact)),
        **chrf(tokenizer, model, items, answers, exact),
        "bound_nats_per_token": bound(model, items, answers, options.bound_samples),
    }
    return {"cache": config.cache, "settings": asdict(config), "batches": batches, **quality}


def chrf(
    tokenizer: Any, model: Any, items: Items, answers: list[list[int]], exact: list[list[int]]
) -> dict[str, dict[str, float | None]]:
    """chrF++, and what exact decoding is below it, on the same resamples of the items."""
    import numpy as np

    from eval.metrics.definitions import chrf_score
    from eval.metrics.overlap import overlap_statistics
    from eval.metrics.statistics import bootstrap_scores

    stops = (model.config.eos_token_id, model.config.eot_token_id)
    own, other = (
        overlap_statistics([decode_answer(tokenizer, answer, stops) for answer in system], items.references)["chrf"]
        for system in (answers, exact)
    )
    apart = bootstrap_scores(own, chrf_score, 1000, 0) - bootstrap_scores(other, chrf_score, 1000, 0)
    value = float(chrf_score(own.sum(axis=0)) - chrf_score(other.sum(axis=0)))
    low, high = np.quantile(apart, (0.025, 0.975)).tolist()
    return {"chrf": interval(own, chrf_score), "chrf_minus_exact": {"value": value, "low": low, "high": high}}


def bound(model: Any, items: Items, answers: list[list[int]], samples: int) -> dict[str, float | None]:
    import numpy as np

    from eval.metrics.statistics import mean

    estimates = log_likelihoods(model, items.prompts, answers, samples=samples, seed=0)
    pairs = [
        (float(estimate.estimate), float(len(answer))) for estimate, answer in zip(estimates, answers, strict=True)
    ]
    return interval(np.asarray(pairs), mean)


def interval(statistics: Any, reduce: Any) -> dict[str, float | None]:
    from eval.metrics.statistics import bootstrap_interval

    found = bootstrap_interval(statistics, reduce, resamples=1000, seed=0)
    return {"value": found.value, "low": found.low, "high": found.high}


def summary(points: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """For each curve and cache the area under parallelism and the points of the picture."""
    best = max(point["chrf"]["value"] for point in points)
    names = dict.fromkeys(f"{point['curve']}, {point['cache']}" for point in points)
    report: dict[str, Any] = {}
    for name in names:
        own = [point for point in points if f"{point['curve']}, {point['cache']}" == name]
        at = [point["batches"][str(batch)] for point in own]
        quality = [point["chrf"]["value"] for point in own]
        by_tokens = [(cost["tokens_per_pass"], value) for cost, value in zip(at, quality, strict=True)]
        report[name] = {
            "aup": area_under_parallelism(by_tokens, best),
            "quality_by_passes": [(cost["passes_per_item"], value) for cost, value in zip(at, quality, strict=True)],
        }
    return report


def environment(options: argparse.Namespace) -> dict[str, Any]:
    cuda = options.device.startswith("cuda")
    return {
        "command": " ".join(["python benchmarks/decoding/rules.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name()
        if cuda
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "load": None if cuda else os.getloadavg()[0],
        "torch": torch.__version__,
        "dtype": options.dtype,
        "rows": options.rows,
        "timed_rows": min(options.rows, options.timed_rows),
    }


if __name__ == "__main__":
    main()
