"""The report's two kinds of page, each composed of sections. No file is read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from adapters.naming import AdapterName
from eval.metrics.statistics import Comparison
from eval.report.flags import Flag
from eval.report.formatting import flatten
from eval.report.labels import Labels, labels_of
from eval.report.load import System
from eval.report.sections import (
    accuracy,
    answers,
    comparison,
    data,
    evidence,
    failures,
    paradigms,
    replay,
    training,
    verdict,
)
from eval.report.sections.beside import refusals, retention, reversal, suites
from eval.report.verdict import Verdict, judged_metrics, sentence

NOT_OF_THE_RUN = ("provenance", "settings", "files")
"""Keys of run.json that a page shows elsewhere, or nowhere (the hashes of its files)."""


@dataclass(frozen=True)
class Findings:
    """Everything a page or a card is made of. sweep, scaling, reversal: sweep.json, scale.json and reversal.json, where
    they were run. permutations: per comparison.
    language: of the pages' frame as they open, `en` or `id`.
    """

    profile: str
    systems: Sequence[System]
    comparisons: Sequence[Comparison]
    verdict: Verdict
    data: data.DataFacts
    provenance: Mapping[str, Any]
    sweep: Mapping[str, Any] | None = None
    scaling: Mapping[str, Any] | None = None
    reversal: Mapping[str, Any] | None = None
    permutations: int = 5000
    language: str = "en"
    twins: Sequence[System] = ()
    against: Sequence[Comparison] = ()
    """Comparisons of the systems with their autoregressive twins."""

    @cached_property
    def labels(self) -> Labels:
        return labels_of(system.name for system in self.systems)

    def beside_base(self, system: System) -> list[System]:
        """The base, where it was evaluated, and the system."""
        return [other for other in self.systems if other.name in ("base", system.name)]

    def sentences(self, system: System) -> list[str]:
        """The comparisons of the system with every other one, in words."""
        about = [item for item in self.comparisons if system.name in (item.first, item.second)]
        return [sentence(item) for item in about if item.metric in judged_metrics(about)]


@dataclass(frozen=True)
class IndexPage:
    """What index.html.j2 and report.md.j2 show; every section under the name of its template."""

    profile: str
    language: str
    items: int
    verdict: verdict.VerdictSection
    comparison: comparison.ComparisonSection
    accuracy: accuracy.AccuracySection | None
    paradigms: paradigms.ParadigmsSection | None
    reversal: reversal.ReversalSection | None
    answers: answers.AnswersSection
    replay: replay.ReplaySection
    training: training.TrainingSection
    data: data.DataSection
    retention: retention.RetentionSection
    suites: suites.SuitesSection | None
    refusals: refusals.RefusalsSection | None
    failures: failures.FailuresSection
    evidence: evidence.EvidenceSection


@dataclass(frozen=True)
class AdapterPage:
    """What adapter.html.j2 shows: one adapter beside the base."""

    profile: str
    language: str
    items: int
    system: System
    sentences: list[str]
    flags: list[Flag]
    comparison: comparison.ComparisonSection
    replay: replay.ReplaySection
    training: training.TrainingSection
    settings: list[tuple[str, str]]
    run: list[tuple[str, str]]
    failures: failures.FailuresSection
    evidence: evidence.EvidenceSection


def index_page(findings: Findings) -> IndexPage:
    systems, labels = findings.systems, findings.labels
    measured = suites.build(systems, labels, findings.permutations)
    return IndexPage(
        profile=findings.profile,
        language=findings.language,
        items=systems[0].metrics["n"],
        verdict=verdict.build(findings.verdict, systems, labels, measured),
        comparison=comparison.build(systems, labels, findings.comparisons),
        accuracy=accuracy.build(systems, labels),
        paradigms=paradigms.build(systems, findings.twins, findings.against),
        reversal=reversal.build(findings.reversal) if findings.reversal else None,
        answers=answers.build(systems, labels),
        replay=replay.build(systems, labels),
        training=training.build(systems, labels, findings.sweep, findings.scaling),
        data=data.build(findings.data),
        retention=retention.build(systems, labels),
        suites=measured,
        refusals=refusals.build(systems, labels),
        failures=failures.build(systems, labels),
        evidence=evidence.build(systems, findings.provenance),
    )


def adapter_page(findings: Findings, system: System) -> AdapterPage:
    shown, labels = findings.beside_base(system), findings.labels
    return AdapterPage(
        profile=findings.profile,
        language=findings.language,
        items=system.metrics["n"],
        system=system,
        sentences=findings.sentences(system),
        flags=[flag for flag in findings.verdict.flags if AdapterName.parse(flag.system).method == system.name],
        comparison=comparison.build(shown, labels),
        replay=replay.build(shown, labels),
        training=training.build([system], labels),
        settings=flatten(system.run.get("settings", {})),
        run=flatten(
            {key: value for key, value in system.run.items() if key not in ("provenance", "settings", "files")}
        ),
        failures=failures.build(shown, labels),
        evidence=evidence.build(shown, findings.provenance),
    )
