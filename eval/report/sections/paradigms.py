"""Section "Diffusion or autoregression?": the two paradigms side by side, where both were run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.systems import is_twin
from eval.metrics import METRICS, Metric
from eval.metrics.floors import FLOOR_LABELS
from eval.metrics.statistics import Comparison
from eval.report.formatting import TableCell, interval_cell, number
from eval.report.load import System
from eval.report.paradigms import LIKELIHOOD, TEXT, pairs_of, paradigm_verdict
from eval.report.sections.comparison import PairRow, pair_row

SHOWN = (LIKELIHOOD, *TEXT, "repetition", "truncated")
GIB = 2**30


@dataclass(frozen=True)
class ParadigmRow:
    """A system's scores, or those of a floor, which has no likelihood. likelihood: "exact" or "upper bound"."""

    title: str
    likelihood: str
    cells: list[TableCell]


@dataclass(frozen=True)
class CostRow:
    """What a system's answers cost, as texts; a dash where it was not measured."""

    title: str
    seconds: str
    passes: str
    alone: str
    batched: str
    memory: str


@dataclass(frozen=True)
class ParadigmsSection:
    """items: answers that were timed one after the other. batch: rows of the batches. pairs: per metric."""

    headline: str
    sentences: tuple[str, ...]
    metrics: list[Metric]
    rows: list[ParadigmRow]
    costs: list[CostRow]
    items: int
    batch: int
    pairs: list[tuple[Metric, list[PairRow]]]
    comparisons: int


def build(
    systems: Sequence[System], twins: Sequence[System], comparisons: Sequence[Comparison]
) -> ParadigmsSection | None:
    """None where no system was evaluated in both paradigms."""
    shown = [one for pair in pairs_of(systems, twins) for one in pair]
    if not shown:
        return None
    verdict = paradigm_verdict(twins, comparisons)
    metrics = [METRICS[key] for key in SHOWN if shown[0].value(key) is not None]
    of_metric = {key: [one for one in comparisons if one.metric == key] for key in SHOWN}
    timed = [one.accounting["alone"]["items"] for one in shown if one.accounting.get("alone")]
    return ParadigmsSection(
        headline=verdict.headline,
        sentences=verdict.sentences,
        metrics=metrics,
        rows=[_row(one, metrics) for one in shown] + _floors(shown[0], metrics),
        costs=[_cost(one) for one in shown],
        items=min(timed, default=0),
        batch=max((one.accounting.get("batch_size") or 0 for one in shown), default=0),
        pairs=[(METRICS[key], [pair_row(one) for one in found]) for key, found in of_metric.items() if found],
        comparisons=len(comparisons),
    )


def _row(system: System, metrics: Sequence[Metric]) -> ParadigmRow:
    title = f"{system.title}, {len(system.trainings)} seeds" if system.others else system.title
    kind = "exact" if is_twin(system.name) else "upper bound"
    return ParadigmRow(title, kind, [interval_cell(system.scores.get(metric.key), metric) for metric in metrics])


def _floors(system: System, metrics: Sequence[Metric]) -> list[ParadigmRow]:
    rows = []
    for name, values in system.metrics["floors"].items():
        cells = [TableCell(number(values[m.key], m) if m.key in values else "–") for m in metrics]
        rows.append(ParadigmRow(FLOOR_LABELS[name], "–", cells))
    return rows


def _cost(system: System) -> CostRow:
    spent, alone = system.accounting, system.accounting.get("alone")
    memory, batched = spent.get("peak_memory_bytes"), spent.get("tokens_per_second")
    return CostRow(
        title=system.title,
        seconds=f"{alone['seconds'] / alone['items']:.3f}" if alone else "–",
        passes=f"{alone['forward_passes'] / alone['items']:.1f}" if alone else "–",
        alone=f"{alone['tokens_per_second']:.1f}" if alone else "–",
        batched=f"{batched:.1f}" if batched else "–",
        memory=f"{memory / GIB:.2f}" if memory else "–",
    )
