"""Section "How an answer is written": the recorded steps, which the page's script plays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.labels import Labels
from eval.report.load import System


@dataclass(frozen=True)
class SystemReplay:
    """One system's steps for one item, as `eval.measure.generation.trace_answers` recorded them."""

    name: str
    title: str
    style: str
    length: int
    forward_passes: int
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class ReplayedItem:
    prompt: str
    reference: str
    replays: list[SystemReplay]


@dataclass(frozen=True)
class ReplaySection:
    """Goes into the page as JSON. Empty where nothing was recorded."""

    items: list[ReplayedItem]


def build(systems: Sequence[System], labels: Labels) -> ReplaySection:
    rows = range(len(systems[0].trace))
    return ReplaySection([replayed_item([(labels[one.name], one.trace[row]) for one in systems]) for row in rows])


def replayed_item(traces: Sequence[tuple[Any, dict[str, Any]]]) -> ReplayedItem:
    first = traces[0][1]
    replays = [
        SystemReplay(label.name, label.title, label.style, trace["length"], trace["forward_passes"], trace["steps"])
        for label, trace in traces
    ]
    return ReplayedItem(first["prompt"], first["reference"], replays)
