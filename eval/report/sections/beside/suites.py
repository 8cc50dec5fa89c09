"""Section "Public suites": accuracies of every system, every pair with its test, tables by subject, province, level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from eval.metrics.groups import by_group, compare_groups
from eval.metrics.random_effects import compare_over_seeds
from eval.metrics.statistics import SIGNIFICANT, Array, Comparison, adjust, mean, mean_statistics
from eval.report.formatting import TableCell, p_value
from eval.report.labels import Labels, SystemLabel, system_title
from eval.report.load import System
from eval.report.sections.parts.tables import CountedRow, SystemTable

READINGS = {
    "accuracy": "Likelihood",
    "accuracy_normalised": "Likelihood per byte",
    "letter": "Letter",
    "revealing": "Revealing",
    "revealing_normalised": "Revealing per byte",
}
COMPARED = ("letter", "accuracy_normalised", "revealing_normalised")  # the first that was measured: what pairs go by
PER_COMPARISON = 100  # permutations at least, so that Holm's correction leaves room for a small p


@dataclass(frozen=True)
class SuiteRow:
    system: SystemLabel
    cells: list[TableCell]


@dataclass(frozen=True)
class SuitePair:
    """One comparison as printed."""

    pair: str
    difference: str
    interval: str
    p: str
    detectable: str
    better: str
    beaten: str  # empty where the two cannot be told apart


@dataclass(frozen=True)
class SuiteTable:
    """A suite: a row per system, a column per reading; pairs by the reading `compared`; facets by it too; in short the
    accuracies by it, and which systems are shown to be better than which."""

    title: str
    about: str
    summary: str
    readings: list[str]
    rows: list[SuiteRow]
    compared: str
    pairs: list[SuitePair]
    facets: list[SystemTable]
    left_out: list[str]


@dataclass(frozen=True)
class SuitesSection:
    """comparisons: the size of the family that Holm's correction is over."""

    tables: list[SuiteTable]
    comparisons: int

    def sentence(self) -> str:
        """All suites in a sentence."""
        pairs = [pair for table in self.tables for pair in table.pairs]
        shown = [pair for pair in pairs if pair.beaten]
        other = " other" if shown else ""
        rest = f"; no{other} pair of systems can be told apart there" if len(pairs) > len(shown) else ""
        return f"On public suites: {'; '.join(table.summary for table in self.tables)}{rest}."


def build(systems: Sequence[System], labels: Labels, permutations: int) -> SuitesSection | None:
    """None where no suite was measured."""
    names = list(dict.fromkeys(name for system in systems for name in system.tasks))
    if not names:
        return None
    alike = {name: [one for one in systems if name in one.tasks and _agree(one, systems, name)] for name in names}
    pairs = [(name, pair) for name in names for pair in combinations(alike[name], 2)]
    each = max(permutations, PER_COMPARISON * len(pairs))
    compared = adjust([_compare(name, first, second, each) for name, (first, second) in pairs])
    of_suite: dict[str, list[Comparison]] = {name: [] for name in names}
    for (name, _), comparison in zip(pairs, compared, strict=True):
        of_suite[name].append(comparison)
    return SuitesSection(
        [suite_table(name, alike[name], systems, labels, of_suite[name]) for name in names], len(compared)
    )


def suite_table(
    name: str, alike: Sequence[System], systems: Sequence[System], labels: Labels, pairs: Sequence[Comparison]
) -> SuiteTable:
    facts = alike[0].tasks[name]
    readings = [key for key in READINGS if key in facts]
    compared = _compared(facts)
    printed = [_pair(comparison) for comparison in pairs]
    return SuiteTable(
        title=name,
        about=about(facts),
        summary=summary_of(name, facts["chance"], [one.tasks[name][compared]["value"] for one in alike], printed),
        readings=[READINGS[key] for key in readings],
        rows=[SuiteRow(labels[one.name], [share_cell(one.tasks[name][key]) for key in readings]) for one in alike],
        compared=READINGS[compared].lower(),
        pairs=printed,
        facets=[facet_table(name, facet, compared, alike, labels) for facet in facts["tables"]],
        left_out=[one.title for one in systems if name in one.tasks and one not in alike],
    )


def of_one(system: System, systems: Sequence[System], labels: Labels) -> list[SuiteTable]:
    """Its accuracies beside those of the others, without comparisons: those are a matter of the whole report."""
    tables = []
    for name in system.tasks:
        alike = [one for one in systems if name in one.tasks and _agree(one, [system], name)]
        tables.append(suite_table(name, alike, systems, labels, []))
    return tables


def summary_of(name: str, chance: float, shares: Sequence[float], pairs: Sequence[SuitePair]) -> str:
    low, high = f"{100 * min(shares):.1f}", f"{100 * max(shares):.1f}%"
    accuracy = high if f"{low}%" == high else f"{low} to {high}"
    wins = [f"{pair.better} better than {pair.beaten}" for pair in pairs if pair.beaten]
    return f"{name} {accuracy} ({', '.join([f'chance {100 * chance:.0f}%', *wins])})"


def about(facts: Mapping[str, Any]) -> str:
    """What was asked and how its errors are made, in a sentence or two."""
    shots = f"{facts['shots']}-shot" if facts["shots"] else "zero-shot"
    parts = [f"n = {facts['n']}, {shots}, chance {100 * facts['chance']:.0f}%"]
    if facts["damaged"]:
        parts.append(f"{facts['damaged']} damaged rows left out")
    if facts["with_fewer_shots"]:
        parts.append(f"{facts['with_fewer_shots']} questions with fewer examples than wanted")
    if facts["cut"]:
        parts.append(f"{facts['cut']} questions cut to the context")
    groups = facts["groups"]
    errors = (
        f"Items are grouped by {groups['by']} ({groups['count']} groups): intervals are cluster-robust, tests exchange "
        "whole groups."
        if groups
        else "Items count as independent: Wilson's intervals, tests exchange single items."
    )
    return f"{'; '.join(parts)}. {errors}"


def facet_table(name: str, facet: str, reading: str, systems: Sequence[System], labels: Labels) -> SystemTable:
    """A row per value of a facet, by one reading."""
    first = systems[0].tasks[name]["tables"][facet]
    rows = [
        CountedRow(value, scores[reading]["n"], [_facet_cell(one, name, facet, value, reading) for one in systems])
        for value, scores in first.items()
    ]
    title = f"{name} by {facet}, {READINGS[reading].lower()}"
    return SystemTable(title, facet.capitalize(), [labels[one.name] for one in systems], rows)


def _facet_cell(system: System, name: str, facet: str, value: str, reading: str) -> TableCell:
    entry = system.tasks[name]["tables"].get(facet, {}).get(value, {}).get(reading)
    return TableCell("–") if entry is None else share_cell(entry)


def share_cell(share: Mapping[str, Any]) -> TableCell:
    low, high = share["low"], share["high"]
    interval = "" if low is None else f"{100 * low:.1f} to {100 * high:.1f}%"
    return TableCell(f"{100 * share['value']:.1f}%", interval)


def _agree(system: System, systems: Sequence[System], name: str) -> bool:
    """Whether the system answered the same questions in the same way as the first that has the suite."""
    first = next(one for one in systems if name in one.tasks)
    return _form(system.tasks[name]) == _form(first.tasks[name])


def _form(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    items = facts["items"]
    return facts["suite"], facts["shots"], facts["sha256"], items["id"], items["group"], set(items["right"])


def _compared(facts: Mapping[str, Any]) -> str:
    return next(key for key in (*COMPARED, *READINGS) if key in facts["items"]["right"])


def _compare(name: str, first: System, second: System, permutations: int) -> Comparison:
    """Over the training seeds that both have, where these measured the suite too; otherwise over the items' groups."""
    facts = first.tasks[name]
    key, groups = _compared(facts), facts["items"]["group"] or [None] * facts["n"]
    names = (first.name, second.name)
    statistics = (_right(first, name, key), _right(second, name, key))
    seeds = _common_seeds(first, second, name)
    if len(seeds) > 1:
        runs = tuple(
            np.stack([by_group(_right(one.trainings.get(seed, one), name, key), groups) for seed in seeds])
            for one in (first, second)
        )
        scores = (statistics[0][:, 0], statistics[1][:, 0])
        return compare_over_seeds(names, key, (runs[0], runs[1]), scores, mean)
    seed = int(first.metrics["settings"]["seed"])
    return compare_groups(names, key, statistics, groups, permutations=permutations, seed=seed)


def _common_seeds(first: System, second: System, name: str) -> list[int]:
    """Seeds at which both measured the suite; the base is the same at every seed."""

    def measured(system: System) -> set[int]:
        form = _form(first.tasks[name])
        return {seed for seed, one in system.trainings.items() if name in one.tasks and _form(one.tasks[name]) == form}

    if first.name == "base":
        return sorted(measured(second))
    return sorted(measured(first) if second.name == "base" else measured(first) & measured(second))


def _right(system: System, name: str, key: str) -> Array:
    return mean_statistics(np.array(system.tasks[name]["items"]["right"][key], dtype=np.float64))


def _pair(comparison: Comparison) -> SuitePair:
    better, beaten = "–", ""
    if comparison.p_adjusted <= SIGNIFICANT and comparison.difference:
        order = (comparison.first, comparison.second)
        better, beaten = map(system_title, order if comparison.difference > 0 else reversed(order))
    return SuitePair(
        f"{system_title(comparison.first)} − {system_title(comparison.second)}",
        _points(comparison.difference),
        f"[{_points(comparison.low)}, {_points(comparison.high)}]",
        p_value(comparison.p_adjusted),
        f"{100 * comparison.detectable:.1f} points",
        better,
        beaten,
    )


def _points(share: float) -> str:
    text = f"{abs(100 * share):.1f}"
    return text if float(text) == 0 else f"{'+' if share > 0 else '−'}{text}"
