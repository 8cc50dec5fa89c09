"""The evaluate stage: one system (the base, or the base with one adapter) on the test split.

Writes into `output`:

- metrics.json: every metric with interval and n, floors, ceiling, groups; the same bytes whatever the batch size
- items.jsonl: per item the texts, the bound, the scores and their sufficient statistics, for the report's comparisons
- trace.json: how a few answers were written, step by step
- accounting.json: forward passes, seconds, tokens per second, peak memory, which change from run to run; and the hashes
  of what was measured
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.config import ModelConfig
from common import seals
from common.errors import InputError
from common.files import atomic_folder, sha256_of_file, write_json, write_json_lines
from common.memory import peak_resident_bytes
from common.progress import console
from common.records import read_record
from eval.config import EvaluationConfig
from eval.measure.answer_keys import keys_of, read_answer_keys
from eval.measure.english import read_english
from eval.measure.overflow import budget_configs, lengths_by_budget
from eval.metrics.definitions import ACCURACY, METRICS, PRIMARY, SECONDARY, Metric
from eval.metrics.floors import floor_answers
from eval.metrics.scoring import SCHEMA_VERSION, Answer, AnswerVectors, Bound, Item, rounded, score_system
from eval.suites.task import read_task
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from llada.diffusion.likelihood import LikelihoodEstimate

LATER = ("confidence", "repetition_penalty")
LATER_OF_EVALUATION = ("english_file", "english_rows", "rouge_tokenizer")
TIMED_ALONE = 8  # answers
COLUMNS = ("id", "subset_name", "template_name", "cluster", "prompt", "answer", "input_ids", "prompt_length")


@dataclass(frozen=True)
class Measurement:
    """What a system's numbers depend on besides base, adapter and test split: the profile's sections, and the seed."""

    evaluation: EvaluationConfig
    sampling: SamplerConfig
    model: ModelConfig
    seed: int
    causal: bool = False
    """Whether it is the autoregressive twin that is measured."""
    beside: bool = False
    """Whether the profile compares two paradigms: then a few answers are timed alone too."""

    @property
    def _still_off(self) -> set[str]:
        """Options of the evaluation that came later and are off: as of the sampler, old numbers stay what they were."""
        fields = EvaluationConfig.model_fields
        return {key for key in LATER_OF_EVALUATION if getattr(self.evaluation, key) == fields[key].default}

    @property
    def settings(self) -> dict[str, Any]:
        """As written into metrics.json; the batch size, which changes no number, is not among them."""
        return {
            "seed": self.seed,
            "evaluation": self.evaluation.model_dump(mode="json", exclude={"batch_size"} | self._still_off),
            "sampling": sampling_settings(self.sampling),
            "model": self.model.model_dump(mode="json"),
        }


def sampling_settings(sampling: SamplerConfig) -> dict[str, Any]:
    """All settings of the sampler but those of LATER that are off: a new option does not make old numbers stale."""
    defaults = SamplerConfig()
    return {
        key: value for key, value in asdict(sampling).items() if key not in LATER or value != getattr(defaults, key)
    }


@dataclass(frozen=True)
class TestSet:
    """The formatted test split: items, and per item the token ids of prompt and answer (with its stop token)."""

    items: list[Item]
    prompts: list[list[int]]
    answers: list[list[int]]


def evaluate(
    measurement: Measurement,
    *,
    system: str,
    base: Path,
    adapter: Path | None,
    test: Path,
    output: Path,
    encoder: Path | None = None,
    answer_keys: Path | None = None,
) -> None:
    """Measure `system` and write `output` (see the module's docstring).

    Args:
        base: folder in the published layout, tokenizer included. adapter: None measures the base itself.
        test: the formatted test split.
        encoder: the profile's sentence encoder; None leaves out the cosine and F1 at 0.5.
        answer_keys: JSON lines that say which answers are right; None leaves out the accuracy.

    Raises:
        InputError: the test split or a task's file is missing, empty or lacks columns; a key is none.
        llada.errors.CheckpointError: the base folder lacks weights or tokenizer.
    """
    evaluation, sampling, seed = measurement.evaluation, measurement.sampling, measurement.seed
    test_set = read_test_set(test)
    keys = keys_of(test_set.items, read_answer_keys(answer_keys)) if answer_keys else []
    tasks = [read_task(task) for task in evaluation.tasks]
    english = Path(evaluation.english_file) if evaluation.english_file else None
    pairs = read_english(english, evaluation.english_rows) if english else []
    budgets = budget_configs(evaluation, sampling)
    clock = _Clock()
    causal = measurement.causal
    network, tokenizer = load_system(measurement.model, base, adapter, causal=causal)
    for config in (sampling, *budgets):
        check_sampling(network.config, config, max(map(len, test_set.prompts)), causal=causal)
    clock.lap("load_seconds")
    from eval.measure.generation import answers_alone, generate_answers, trace_answers
    from eval.measure.likelihood import bounds, fit_by_mask_share
    from eval.measure.retention import english_bound
    from eval.suites.run import run_task

    samples = evaluation.likelihood_samples
    estimates = bounds(network, test_set.prompts, test_set.answers, samples=samples, seed=seed, causal=causal)
    in_english = partial(
        english_bound,
        network,
        tokenizer,
        samples=samples,
        resamples=evaluation.bootstrap_resamples,
        seed=seed,
        causal=causal,
    )
    extra: dict[str, Any] = {
        "noise_levels": [],
        "english": in_english(),
        **({"english_file": in_english(pairs)} if english else {}),
        "tasks": {},
        "eos_overflow": [],
    }
    if causal:
        extra["exact_likelihood"] = True
    else:
        extra["noise_levels"] = fit_by_mask_share(network, test_set.prompts, test_set.answers, seed=seed)
        extra["tasks"] = {
            task.config.name: run_task(network, tokenizer, task, samples=samples, seed=seed).result for task in tasks
        }
    clock.lap("likelihood_seconds")
    generated = [
        generate_answers(
            network,
            tokenizer,
            test_set.prompts,
            sampling,
            batch_size=evaluation.batch_size,
            seed=seed + decoding,
            causal=causal,
        )
        for decoding in range(evaluation.decoding_seeds)
    ]
    decodings = [answers for answers, _ in generated]
    clock.lap("generation_seconds")
    alone = [test_set.prompts[row] for row in traced_rows(test_set.items, TIMED_ALONE if measurement.beside else 0)]
    timed = answers_alone(network, tokenizer, alone, sampling, seed=seed, causal=causal) if alone else None
    clock.lap("alone_seconds")
    traced = traced_rows(test_set.items, 0 if causal else evaluation.trace_items)
    traces = trace_answers(network, tokenizer, test_set.prompts, sampling, rows=traced, seed=seed)
    clock.lap("trace_seconds")
    few = traced_rows(test_set.items, evaluation.eos_overflow_items)
    if not causal:
        extra["eos_overflow"] = lengths_by_budget(
            network,
            tokenizer,
            [test_set.prompts[row] for row in few],
            budgets,
            batch_size=evaluation.batch_size,
            resamples=evaluation.bootstrap_resamples,
            seed=seed,
        )
    clock.lap("overflow_seconds")
    cut = cut_references(tokenizer, test_set.answers, sampling.longest)
    vectors = None if encoder is None else embed_texts_of(encoder, test_set.items, decodings, cut, seed)
    clock.lap("embedding_seconds")
    scored = score_system(
        system,
        test_set.items,
        decodings,
        [_bound(estimate) for estimate in estimates],
        cut,
        evaluation=evaluation,
        seed=seed,
        settings=measurement.settings,
        answer_bytes=scored_bytes(tokenizer, test_set),
        vectors=vectors,
        keys=keys,
        extra=extra,
    )
    clock.lap("scoring_seconds")
    with atomic_folder(output) as folder:
        write_json(folder / "metrics.json", scored.metrics)
        write_json_lines(folder / "items.jsonl", scored.items)
        write_json(folder / "trace.json", trace_content(test_set.items, traced, traces))
        accounting = clock.laps | accounting_content([cost for _, cost in generated])
        if timed is not None:
            accounting["batch_size"] = evaluation.batch_size
            spent = {"items": len(alone), "seconds": round(timed.seconds, 3)}
            accounting["alone"] = spent | accounting_content([timed])
        accounting |= {"measured": measured_hashes(adapter, test, answer_keys)}
        path = folder / "accounting.json"
        write_json(path, accounting | seals.files(path, read=(), wrote=[folder]))
    if evaluation.likelihood_samples == 1:
        console.print("evaluation.likelihood_samples: 1 gives no sampling error; it is null in what was written")
    measured = scored.metrics["metrics"]
    scores = ", ".join(
        _spoken(METRICS[key], measured[key]) for key in (PRIMARY, SECONDARY, ACCURACY) if key in measured
    )
    if answer_keys and ACCURACY not in measured:
        console.print(f"{answer_keys}: says of no test item what is right, so there is no accuracy", soft_wrap=True)
    console.print(f"{output}: {scores}, n = {scored.metrics['n']}", soft_wrap=True)


def read_test_set(path: Path) -> TestSet:
    """Read the formatted test split; InputError names what is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(f"{path}: no such file; run the stage `format` first")
    try:
        table = pq.ParquetFile(path).read()  # read_table would import the dataset API and pandas for one file
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a parquet file ({error}); run the stage `format` again") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; run the stage `format` again")
    if not len(table):
        raise InputError(f"{path}: no rows; raise data.test_size")
    rows = table.select(COLUMNS).to_pylist()
    answers = [row["input_ids"][row["prompt_length"] :] for row in rows]
    empty = [row["id"] for row, answer in zip(rows, answers, strict=True) if not answer]
    if empty:
        raise InputError(f"{path}: {len(empty)} rows have no answer tokens, first {empty[0]}; raise data.max_length")
    items = [
        Item(
            id=row["id"],
            subset_name=row["subset_name"],
            template_name=row["template_name"],
            cluster=row["cluster"],
            prompt=row["prompt"],
            reference=row["answer"],
            answer_tokens=len(answer),
        )
        for row, answer in zip(rows, answers, strict=True)
    ]
    return TestSet(items, [row["input_ids"][: row["prompt_length"]] for row in rows], answers)


def load_system(model: ModelConfig, base: Path, adapter: Path | None, *, causal: bool = False) -> tuple[Any, Any]:
    """The network with the adapter active, in eval mode, and its tokenizer."""
    from adapters.base import load_base
    from llada.chat_format import load_tokenizer, stop_at_end_of_turn

    tokenizer = load_tokenizer(base)
    network = load_base(model, base, causal=causal)
    if not causal:
        stop_at_end_of_turn(network.config, tokenizer)
    if adapter is not None and model.quantization == "none" and model.dtype == "float32":
        from adapters.update import add_adapter

        add_adapter(network, adapter)  # once, instead of at every forward; in bfloat16 it would round the update
    elif adapter is not None:
        from adapters.storage import load_adapter

        network = load_adapter(network, adapter)
    network.eval()
    return network, tokenizer


def check_sampling(model_config: Any, sampling: SamplerConfig, longest_prompt: int, *, causal: bool = False) -> None:
    """Raises InputError, before anything is run, where the settings do not fit the model or the prompts."""
    from llada.sampling.sequences import Vocabulary

    try:
        if not causal:
            Vocabulary.of(model_config, sampling)
    except ValueError as error:
        raise InputError(f"sampling: {error}") from None
    room = model_config.max_position_embeddings - longest_prompt
    if sampling.longest > room:
        raise InputError(
            f"sampling: an answer of {sampling.longest} tokens, the longest prompt ({longest_prompt}) leaves {room} "
            f"of the model's {model_config.max_position_embeddings}; lower sampling.gen_length, or "
            "evaluation.eos_overflow"
        )


def traced_rows(items: list[Item], count: int) -> list[int]:
    """`count` items for what is done with few of them: the first of each subset in turn, so that subsets are mixed."""
    by_subset: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        by_subset.setdefault(item.subset_name, []).append(row)
    rows: list[int] = []
    while len(rows) < min(count, len(items)):
        for queue in by_subset.values():
            if queue and len(rows) < count:
                rows.append(queue.pop(0))
    return sorted(rows)


def scored_bytes(tokenizer: Any, test_set: TestSet) -> list[int]:
    """UTF-8 bytes of what each item's bound scores: the reference, or the part of it that `format` left."""
    from llada.chat_format import end_of_turn_id

    stop = end_of_turn_id(tokenizer)
    whole = [item.reference for item in test_set.items]
    texts = [
        text if ids[-1] == stop else tokenizer.decode(ids, skip_special_tokens=True)
        for text, ids in zip(whole, test_set.answers, strict=True)
    ]
    return [len(text.encode()) for text in texts]


def cut_references(tokenizer: Any, answers: list[list[int]], budget: int) -> list[str]:
    """The references cut to `budget` tokens (stop token included): the best that the sampler could write."""
    return [tokenizer.decode(answer[: min(budget, len(answer) - 1)]).strip() for answer in answers]


def embed_texts_of(
    encoder: Path, items: list[Item], decodings: list[list[Answer]], cut: list[str], seed: int
) -> AnswerVectors:
    """Embeddings of answers, references, floors and ceiling."""
    from eval.measure.embeddings import embed_answers

    references = [item.reference for item in items]
    others = floor_answers([item.prompt for item in items], references, seed) | {"ceiling": cut}
    texts = [[answer.text for answer in answers] for answers in decodings]
    return embed_answers(encoder, texts, references, others)


def trace_content(items: list[Item], rows: list[int], traces: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "items": [
            {"id": items[row].id, "prompt": items[row].prompt, "reference": items[row].reference} | trace
            for row, trace in zip(rows, traces, strict=True)
        ]
    }


def accounting_content(costs: list[Any]) -> dict[str, Any]:
    """What generating cost, all decodings together."""
    seconds, tokens = sum(cost.seconds for cost in costs), sum(cost.tokens for cost in costs)
    return {
        "forward_passes": sum(cost.forward_passes for cost in costs),
        "generated_tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 2) if seconds else 0.0,
        "rows_stopped_early": sum(cost.rows_stopped_early for cost in costs),
        "peak_memory_bytes": max(cost.peak_memory_bytes or 0 for cost in costs) or peak_resident_bytes(),
    }


def measured_hashes(adapter: Path | None, test: Path, answer_keys: Path | None) -> dict[str, str | None]:
    """sha256 of the adapter's weights (None: the base), of the test split, and of the keys where there are any."""
    return {
        "adapter_sha256": None if adapter is None else sha256_of_file(adapter / "adapter_model.safetensors"),
        "test_sha256": seals.seal(test),
    } | ({"answer_keys_sha256": sha256_of_file(answer_keys)} if answer_keys else {})


def is_measured(
    output: Path, measurement: Measurement, *, adapter: Path | None, test: Path, answer_keys: Path | None = None
) -> bool:
    """Whether `output` holds what `evaluate` would write: this adapter on this test split with these settings."""
    if not (output / "accounting.json").is_file():
        return False
    try:
        metrics = read_record(output / "metrics.json", dict[str, Any])
        accounting = read_record(output / "accounting.json", dict[str, Any])
    except InputError:  # damaged: to be measured again
        return False
    return (
        metrics.get("schema_version") == SCHEMA_VERSION
        and metrics.get("settings") == rounded(measurement.settings)
        and accounting.get("measured") == measured_hashes(adapter, test, answer_keys)
    )


def _bound(estimate: LikelihoodEstimate) -> Bound:
    error = estimate.standard_error
    return Bound(-estimate.estimate, error if math.isfinite(error) else None)


def _spoken(metric: Metric, entry: dict[str, Any]) -> str:
    """A score with its interval, where it has one: Bound 3.686 (3.255 to 4.104), Accuracy 61% (51% to 70%)."""
    form = ".0%" if metric.share else f".{metric.decimals}f"
    interval = "" if entry["low"] is None else f" ({entry['low']:{form}} to {entry['high']:{form}})"
    return f"{metric.label} {entry['value']:{form}}{interval}"


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
