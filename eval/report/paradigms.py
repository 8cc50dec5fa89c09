"""Diffusion or autoregression: pairs of systems that differ in that alone, tested, and a verdict in words.

A pair is a system and its namesake on the twin: the same rows, adapter, budget. The likelihoods of a pair are not of
one kind: the diffusion model's is an upper bound on the negative log-likelihood, the twin's is exact. So a bound below
an exact value decides, and one above it leaves the question open. They are compared per byte, as tokenizers may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.systems import BASES, TWIN
from eval.config import EvaluationConfig
from eval.metrics.definitions import ACCURACY, METRICS
from eval.metrics.statistics import Comparison, adjust
from eval.report.formatting import listed, number, p_value
from eval.report.labels import system_title
from eval.report.load import System
from eval.report.verdict import TRAINED_ONCE, against_floors, better, compare_pair, sentence

LIKELIHOOD = "bits_per_byte"
QUALITY = ("chrf", ACCURACY)
"""What the headline goes by, where it is measured."""
TEXT = ("chrf", "rouge1", "rougeL", "bleu", ACCURACY)


@dataclass(frozen=True)
class ParadigmVerdict:
    """headline: one sentence; sentences: what it rests on."""

    headline: str
    sentences: tuple[str, ...]


def pairs_of(systems: Sequence[System], twins: Sequence[System]) -> list[tuple[System, System]]:
    """Each diffusion system with its namesake on the twin, where both were evaluated."""
    by_name = {twin.name: twin for twin in twins}
    return [(one, by_name[TWIN + one.name]) for one in systems if TWIN + one.name in by_name]


def compare_paradigms(
    systems: Sequence[System], twins: Sequence[System], evaluation: EvaluationConfig, seed: int
) -> list[Comparison]:
    """Every pair on every metric, Holm-adjusted over all of them together; a family of its own."""
    pairs = pairs_of(systems, twins)
    known = [key for key in (LIKELIHOOD, *TEXT) if all(one.value(key) is not None for pair in pairs for one in pair)]
    permutations = max(evaluation.permutations, 100 * len(known) * len(pairs))
    return adjust(
        [compare_pair(*pair, key, evaluation, permutations=permutations, seed=seed) for key in known for pair in pairs]
    )


def paradigm_verdict(twins: Sequence[System], comparisons: Sequence[Comparison]) -> ParadigmVerdict:
    """What the adapters' pairs say; of the bases alone where no adapter was trained on both."""
    adapted = [one for one in comparisons if one.first not in BASES] or list(comparisons)
    judged = [one for one in adapted if one.metric in QUALITY]
    sentences = [sentence(one) for one in judged]
    sentences += [likelihood_sentence(one) for one in adapted if one.metric == LIKELIHOOD]
    if any(twin.name not in BASES for twin in twins):
        sentences.append(f"Of the autoregressive adapters: {against_floors(twins)}")
    if all(one.seeds == 1 for one in adapted):
        sentences.append(TRAINED_ONCE)
    return ParadigmVerdict(_headline(judged), tuple(sentences))


def _headline(judged: Sequence[Comparison]) -> str:
    winners: dict[bool, list[str]] = {True: [], False: []}  # by whether the twin is the better one
    for one in judged:
        if (winner := better(one)) is not None:
            named = f"{system_title(one.first)} on {METRICS[one.metric].name}"
            winners[winner == one.second].append(named)
    measured = listed(dict.fromkeys(METRICS[one.metric].name for one in judged), "or")
    autoregression, diffusion = listed_or_none(winners[True]), listed_or_none(winners[False])
    if autoregression and diffusion:
        return f"Neither paradigm is the better one: autoregression is for {autoregression}, diffusion for {diffusion}."
    if autoregression:
        return f"Autoregression is better: {autoregression}{_rest(judged, winners[True])}."
    if diffusion:
        return f"Diffusion is better: {diffusion}{_rest(judged, winners[False])}."
    return f"Diffusion and autoregression cannot be told apart on {measured}."


def listed_or_none(names: Sequence[str]) -> str:
    return listed(names) if names else ""


def _rest(judged: Sequence[Comparison], told: Sequence[str]) -> str:
    open_pairs = len(judged) - len(told)
    return f"; the other {open_pairs} of {len(judged)} comparisons cannot be told apart" if open_pairs else ""


def likelihood_sentence(item: Comparison) -> str:
    """A bound beside an exact value: what follows, and what does not."""
    metric = METRICS[item.metric]
    bound, exact = system_title(item.first), system_title(item.second)
    apart = number(abs(item.difference), metric)
    facts = f"p = {p_value(item.p_adjusted)}, n = {item.n}"
    winner = better(item)
    if winner == item.first:
        return (
            f"{bound} gives the references more probability than {exact}: its upper bound is {apart} {metric.unit} per "
            f"byte below the exact value, {facts}."
        )
    where = "is below" if winner == item.second else "cannot be told apart from"
    return (
        f"The exact value of {exact} {where} the upper bound of {bound} (difference {apart} {metric.unit} per byte, "
        f"{facts}); which of them gives the references more probability is left open, as a bound may lie far above."
    )
