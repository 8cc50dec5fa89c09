"""From texts and bounds to the numbers of one system: metrics with intervals, floors, groups, rows per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.config import EvaluationConfig, RougeTokenizer
from eval.metrics.accuracy import AnswerKey, accuracy_statistics, is_right
from eval.metrics.definitions import ACCURACY, METRICS, Metric
from eval.metrics.floors import floor_answers
from eval.metrics.item_statistics import bound_statistics, cosine_statistics, point_scores, text_statistics
from eval.metrics.overlap import signatures
from eval.metrics.statistics import (
    Array,
    Interval,
    bootstrap_interval,
    counted,
    pooled_interval,
    ratio_standard_error,
    wilson_interval,
)

SCHEMA_VERSION = 3
DIGITS = 6  # of every float written: far below any interval, far above float noise
GROUP_METRICS = ("bound_per_token", "bits_per_byte", "chrf")
KIND_METRICS = (*GROUP_METRICS, "exact_match", ACCURACY)  # by kind of task
LENGTH_BINS = ((1, 16), (17, 32), (33, 64), (65, 128), (129, None))  # answer tokens, stop token included


@dataclass(frozen=True)
class Item:
    """One row of the formatted test split. `answer_tokens` counts its `<|eot_id|>`."""

    id: str
    subset_name: str
    template_name: str
    cluster: int
    prompt: str
    reference: str
    answer_tokens: int


@dataclass(frozen=True)
class Answer:
    """What a system wrote: the text up to the first stop token, the tokens before it, and whether there was one."""

    text: str
    tokens: int
    stopped: bool


@dataclass(frozen=True)
class Bound:
    """Upper bound on -log p of one reference answer in nats, and its Monte-Carlo standard error (None: one sample)."""

    nats: float
    standard_error: float | None


@dataclass(frozen=True)
class AnswerVectors:
    """L2-normalised embeddings (n, D) by the profile's encoder: answers (per decoding), references, floors, ceiling."""

    answers: tuple[Array, ...]
    references: Array
    others: dict[str, Array]


@dataclass(frozen=True)
class Scored:
    """`metrics` is the content of metrics.json, `items` the rows of items.jsonl; both rounded."""

    metrics: dict[str, Any]
    items: list[dict[str, Any]]


def score_system(
    system: str,
    items: Sequence[Item],
    decodings: Sequence[Sequence[Answer]],
    bounds: Sequence[Bound],
    cut_references: Sequence[str],
    *,
    evaluation: EvaluationConfig,
    seed: int,
    settings: dict[str, Any],
    answer_bytes: Sequence[int] | None = None,
    vectors: AnswerVectors | None = None,
    keys: Sequence[AnswerKey | None] = (),
    extra: dict[str, Any] | None = None,
) -> Scored:
    """Score one system on all items.

    Several decodings are pooled: scores are over all answers, intervals from a bootstrap of items and, within each
    item, of its decodings. What has no share per item (distinct-n ...) and the texts shown are those of the first.

    Args:
        decodings: the answers to all items, once per decoding seed.
        cut_references: the references cut to the sampler's token budget: the ceiling.
        answer_bytes: UTF-8 bytes of the answers that the bounds score; None: of the whole references.
        keys: of each item, where there are any: what a right answer contains.
        settings: what the numbers depend on (sampler, samples, seed ...), copied into the file.
        extra: further sections of metrics.json (retention, tasks ...).
    """
    references, prompts = [item.reference for item in items], [item.prompt for item in items]
    texts = [answer.text for answer in decodings[0]]
    keys = keys if any(key and key.required for key in keys) else ()
    rouge = evaluation.rouge_tokenizer
    runs = [decoding_statistics(answers, references, prompts, keys, rouge) for answers in decodings]
    if vectors is not None:
        for run, own in zip(runs, vectors.answers, strict=True):
            run |= cosine_statistics(own, vectors.references)
    bound = bound_statistics(
        [bound.nats for bound in bounds],
        [item.answer_tokens for item in items],
        [len(item.reference.encode()) for item in items] if answer_bytes is None else answer_bytes,
    )
    statistics = {key: np.sum([run[key] for run in runs], axis=0) for key in runs[0]} | bound
    resamples = evaluation.bootstrap_resamples
    scores = score_all(statistics if len(runs) == 1 else bound, resamples, seed)
    if len(runs) > 1:  # shares too: decodings of one item are not independent, as Wilson's interval wants
        for key in runs[0]:
            pooled = np.stack([counted(run[key]) if key == ACCURACY else run[key] for run in runs])  # (S, n, K)
            scores[key] = pooled_interval(pooled, METRICS[key].reduce, resamples, seed)
    metrics = {key: asdict(value) for key, value in scores.items()}
    metrics["bound_per_token"]["standard_error"] = ratio_standard_error(bound["bound_per_token"])
    metrics["bound_per_token"]["sampling_error"] = _sampling_error(items, bounds)
    for key, value in point_scores(texts).items():
        metrics[key] = {"value": value, "low": None, "high": None, "n": len(items)}
    content = {
        "schema_version": SCHEMA_VERSION,
        "system": system,
        "n": len(items),
        "metrics": metrics,
        "floors": {
            name: text_scores(floor, references, prompts, name, vectors, keys, rouge)
            for name, floor in floor_answers(prompts, references, seed).items()
        },
        "ceiling": text_scores(cut_references, references, prompts, "ceiling", vectors, keys, rouge),
        "groups": group_scores(items, statistics, resamples, seed, keys),
        "signatures": signatures(rouge),
        "settings": settings,
    } | (extra or {})
    shown = runs[0] | bound
    rows = _item_rows(items, decodings[0], bounds, shown, statistics)
    for row, key in zip(rows, keys, strict=bool(keys)):
        row |= {"kind": key and key.kind, "right": is_right(row["answer"], key)}
    return Scored(rounded(content), rounded(rows))


def decoding_statistics(
    answers: Sequence[Answer],
    references: Sequence[str],
    prompts: Sequence[str],
    keys: Sequence[AnswerKey | None] = (),
    rouge_tokenizer: RougeTokenizer = "ascii",
) -> dict[str, Array]:
    """The text statistics of one decoding of all items."""
    texts, truncated = [answer.text for answer in answers], [not answer.stopped for answer in answers]
    right = {ACCURACY: accuracy_statistics(texts, keys)} if keys else {}
    return text_statistics(texts, references, prompts, truncated, rouge_tokenizer) | right


def text_scores(
    texts: Sequence[str],
    references: Sequence[str],
    prompts: Sequence[str],
    name: str,
    vectors: AnswerVectors | None = None,
    keys: Sequence[AnswerKey | None] = (),
    rouge_tokenizer: RougeTokenizer = "ascii",
) -> dict[str, float]:
    """The text metrics of answers that no system wrote (floors, ceiling), as plain values."""
    statistics = text_statistics(texts, references, prompts, rouge_tokenizer=rouge_tokenizer)
    if vectors is not None:
        statistics |= cosine_statistics(vectors.others[name], vectors.references)
    if keys:
        statistics[ACCURACY] = accuracy_statistics(texts, keys)
    values = {key: float(METRICS[key].reduce(rows.sum(axis=0))) for key, rows in statistics.items()}
    return values | point_scores(texts)


def group_scores(
    items: Sequence[Item],
    statistics: dict[str, Array],
    resamples: int,
    seed: int,
    keys: Sequence[AnswerKey | None] = (),
) -> dict[str, dict[str, dict[str, Any]]]:
    """GROUP_METRICS by subset, cluster and length of the reference, and with keys KIND_METRICS by kind of task:
    {grouping: {group: {metric: interval}}}. An item without a key is of no kind.
    """
    groupings: dict[str, list[str | None]] = {
        "subset_name": [item.subset_name for item in items],
        "cluster": [str(item.cluster) for item in items],
        "answer_tokens": [_length_bin(item.answer_tokens) for item in items],
    }
    if keys:
        groupings["kind"] = [key and key.kind for key in keys]
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for grouping, labels in groupings.items():
        groups[grouping] = {}
        for label in sorted({label for label in labels if label is not None}, key=_group_order):
            rows = np.array([other == label for other in labels])
            groups[grouping][label] = {
                key: asdict(score(METRICS[key], statistics[key][rows], resamples, seed))
                for key in (KIND_METRICS if grouping == "kind" else GROUP_METRICS)
            }
    return groups


def score_all(statistics: dict[str, Array], resamples: int, seed: int) -> dict[str, Interval]:
    """Every metric of `statistics` with its 95% interval: Wilson's for shares, percentile bootstrap for the others."""
    scores = {}
    for key, metric in METRICS.items():
        if key in statistics:
            scores[key] = score(metric, statistics[key], resamples, seed)
    return scores


def score(metric: Metric, statistics: Array, resamples: int, seed: int) -> Interval:
    if metric.share:
        rows = counted(statistics)
        answers = max(1.0, float(rows[:, 1].sum()))  # several to an item where decodings are pooled
        return wilson_interval(float(rows[:, 0].sum()) * (len(rows) / answers), len(rows))
    return bootstrap_interval(statistics, metric.reduce, resamples, seed)


def item_score(key: str, statistics: Array) -> Array:
    """The score of each item alone, (n,): for tables of items, effect sizes and worst-and-best lists."""
    return METRICS[key].reduce(statistics)


def rounded(value: Any) -> Any:
    """The same JSON value with every float at DIGITS decimals (and no negative zero), so that bytes repeat."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return round(float(value), DIGITS) + 0.0
    return value


def _item_rows(
    items: Sequence[Item],
    answers: Sequence[Answer],
    bounds: Sequence[Bound],
    shown: dict[str, Array],
    statistics: dict[str, Array],
) -> list[dict[str, Any]]:
    """Rows of items.jsonl: texts and scores of the decoding that is `shown`, statistics of all of them together."""
    languages = {key.removeprefix("language_"): rows for key, rows in shown.items() if key.startswith("language_")}
    scores = {
        key: item_score(key, shown[key])
        for key in ("bound_per_token", "chrf", "bleu", "rouge1", "rouge2", "rougeL", "meteor", "repetition", "cosine")
        if key in shown
    }
    rows = []
    for index, (item, answer, bound) in enumerate(zip(items, answers, bounds, strict=True)):
        rows.append(
            asdict(item)
            | {
                "answer": answer.text,
                "generated_tokens": answer.tokens,
                "stopped": answer.stopped,
                "language": next(name for name, written in languages.items() if written[index, 0] == 1),
                "bound_nats": bound.nats,
                "bound_sampling_error": bound.standard_error,
                "scores": {key: float(values[index]) for key, values in scores.items()},
                "statistics": {key: values[index].tolist() for key, values in statistics.items()},
            }
        )
    return rows


def _sampling_error(items: Sequence[Item], bounds: Sequence[Bound]) -> float | None:
    """Monte-Carlo standard error of the bound per token on these very items (the masks' share of the uncertainty).

    None where every item has one sample, which tells nothing of the spread.
    """
    total = sum(item.answer_tokens for item in items)
    known = [bound.standard_error for bound in bounds if bound.standard_error is not None]
    return float(np.sqrt(sum(error**2 for error in known))) / max(1, total) if known else None


def _length_bin(tokens: int) -> str:
    for low, high in LENGTH_BINS:
        if high is None or tokens <= high:
            return f"{low} or more" if high is None else f"{low} to {high}"
    raise AssertionError("the last bin is open")


def _group_order(label: str) -> tuple[int, str]:
    """Numbers and "low to high" labels by their first number, names by alphabet."""
    first = label.split(" ")[0]
    return (int(first), label) if first.isdigit() else (0, label)
