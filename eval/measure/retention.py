"""What adaptation costs: the bound on a fixed English sample, under the system at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from eval.measure.english import ENGLISH_SAMPLE
from eval.measure.likelihood import bounds
from eval.metrics.definitions import METRICS
from eval.metrics.item_statistics import bound_statistics
from eval.metrics.scoring import score
from eval.metrics.statistics import ratio_standard_error
from llada.chat_format import encode_example


def english_bound(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]] = ENGLISH_SAMPLE,
    *,
    samples: int,
    resamples: int,
    seed: int,
    causal: bool = False,
) -> dict[str, Any]:
    """The likelihood bound of English answers, with the statistics per item for paired comparisons."""
    prompts, answers = _encode(tokenizer, pairs)
    estimates = bounds(model, prompts, answers, samples=samples, seed=seed, label="English", causal=causal)
    nats = [-one.estimate for one in estimates]
    sizes = [len(answer.encode()) for _, answer in pairs]
    statistics = bound_statistics(nats, [len(answer) for answer in answers], sizes)
    scores = {key: asdict(score(METRICS[key], rows, resamples, seed)) for key, rows in statistics.items()}
    scores["bound_per_token"]["standard_error"] = ratio_standard_error(statistics["bound_per_token"])
    return scores | {"statistics": {key: rows.tolist() for key, rows in statistics.items()}}


def _encode(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> tuple[list[list[int]], list[list[int]]]:
    rows = [encode_example(tokenizer, prompt, answer) for prompt, answer in pairs]
    return [ids[:length] for ids, length in rows], [ids[length:] for ids, length in rows]
