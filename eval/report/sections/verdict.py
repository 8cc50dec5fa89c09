"""Section "Verdict", the first screen: headline, sentences, the scores as a plot, three answers, flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from eval.metrics import METRICS
from eval.metrics.definitions import ACCURACY, SECONDARY
from eval.report.flags import Flag
from eval.report.labels import Labels
from eval.report.load import System
from eval.report.sections.beside.suites import SuitesSection
from eval.report.sections.comparison import interval_panel
from eval.report.sections.parts import examples
from eval.report.verdict import Verdict


@dataclass(frozen=True)
class VerdictSection:
    """plots: chrF++ and, where answers have keys, the accuracy."""

    headline: str
    sentences: tuple[str, ...]
    plots: list[Markup]
    examples: examples.Examples
    flags: tuple[Flag, ...]


def build(
    verdict: Verdict, systems: Sequence[System], labels: Labels, suites: SuitesSection | None = None
) -> VerdictSection:
    """With a sentence on the public suites, where any was measured."""
    shown = [key for key in (ACCURACY, SECONDARY) if systems[0].value(key) is not None]
    return VerdictSection(
        verdict.headline,
        (*verdict.sentences, *([suites.sentence()] if suites else [])),
        plots=[interval_panel(METRICS[key], systems, labels) for key in shown],
        examples=examples.build(systems, labels),
        flags=verdict.flags,
    )
