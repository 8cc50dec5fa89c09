"""The report's words: which system is better, and whether that can be told from noise.

Flags come first: an adapter with a severe one is never called the best (`eval.report.flags`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from adapters.naming import AdapterName
from common.systems import BASES
from eval.config import EvaluationConfig
from eval.metrics.definitions import ACCURACY, HEADLINE, METRICS, PRIMARY, SECONDARY, Metric
from eval.metrics.floors import FLOOR_LABELS
from eval.metrics.random_effects import compare_over_seeds
from eval.metrics.scoring import item_score
from eval.metrics.statistics import SIGNIFICANT, Comparison, adjust, compare
from eval.report.flags import Flag, flags_of, untrained_flags
from eval.report.formatting import listed, number, p_value, signed
from eval.report.labels import system_title
from eval.report.load import System

TRAINED_ONCE = "Every method was trained once; another training seed can turn these differences between adapters round."


@dataclass(frozen=True)
class Verdict:
    """What stands on top of the report: one headline and at most four sentences, whatever was compared; flags."""

    headline: str
    sentences: tuple[str, ...]
    flags: tuple[Flag, ...]


def compare_all(systems: Sequence[System], evaluation: EvaluationConfig, seed: int) -> list[Comparison]:
    """Every pair of systems on every compared metric, Holm-adjusted over all of them together. Where both have several
    training seeds in common, over these seeds and the items; otherwise over the items.

    The smallest p of a randomisation test is 1 / (1 + permutations), and Holm multiplies it by the size of the family:
    at least a hundred permutations per comparison are drawn, so that a clear difference can show.
    """
    metrics = compared_metrics(systems)
    family = len(metrics) * len(systems) * (len(systems) - 1) // 2
    permutations = max(evaluation.permutations, 100 * family)
    return adjust(
        [
            compare_pair(*pair, key, evaluation, permutations=permutations, seed=seed)
            for key in metrics
            for pair in combinations(systems, 2)
        ]
    )


def compare_pair(
    first: System, second: System, key: str, evaluation: EvaluationConfig, *, permutations: int, seed: int
) -> Comparison:
    """Two systems on one metric, over the training seeds that they have in common where these are several."""
    names, reduce = (first.name, second.name), METRICS[key].reduce
    seeds = seeds_in_common(first, second)
    if len(seeds) > 1:
        runs = (first.runs(key, seeds), second.runs(key, seeds))
        scores = (item_score(key, runs[0].sum(axis=0)), item_score(key, runs[1].sum(axis=0)))
        return compare_over_seeds(names, key, runs, scores, reduce)
    statistics = (first.statistics[key], second.statistics[key])
    return compare(
        names,
        key,
        statistics,
        (item_score(key, statistics[0]), item_score(key, statistics[1])),
        reduce,
        resamples=evaluation.bootstrap_resamples,
        permutations=permutations,
        seed=seed,
    )


def compared_metrics(systems: Sequence[System]) -> tuple[str, ...]:
    """The headline metrics, and the accuracy where answers have keys.

    Its statistics are 0 or 1 to an item, so that its randomisation test is the exact McNemar test, drawn instead of
    summed: an item where both are right, or both wrong, changes nothing when it is exchanged.
    """
    return (*HEADLINE, ACCURACY) if systems[0].value(ACCURACY) is not None else HEADLINE


def seeds_in_common(first: System, second: System) -> list[int]:
    """The training seeds that both have, in the first one's order; the base, which has none, agrees with any."""
    if first.name in BASES:
        return list(second.trainings)
    return [seed for seed in first.trainings if second.name in BASES or seed in second.trainings]


def better(comparison: Comparison) -> str | None:
    """The better system of a pair, None where they cannot be told apart."""
    if comparison.p_adjusted > SIGNIFICANT or comparison.difference == 0:
        return None
    higher = comparison.first if comparison.difference > 0 else comparison.second
    lower = comparison.second if comparison.difference > 0 else comparison.first
    return lower if METRICS[comparison.metric].better == "lower" else higher


def sentence(comparison: Comparison) -> str:
    """One comparison in plain words, the better or first system first."""
    metric = METRICS[comparison.metric]
    winner = better(comparison)
    first, second = system_title(comparison.first), system_title(comparison.second)
    facts = f"p = {p_value(comparison.p_adjusted)}, n = {comparison.n}"
    if comparison.seeds > 1:
        facts += f" items and {comparison.seeds} training seeds"
    if winner is None:
        needed = ""
        if abs(comparison.difference) < comparison.detectable:  # which is stated before any correction
            needed = f"; about {number(comparison.detectable, metric)} would be needed to show"
        return (
            f"{first} and {second} cannot be told apart on {metric.name}: difference "
            f"{signed(comparison.difference, metric)} [{signed(comparison.low, metric)}, "
            f"{signed(comparison.high, metric)}], {facts}{needed}.{_why_not(comparison)}"
        )
    loser = second if winner == comparison.first else first
    low, high = sorted((abs(comparison.low), abs(comparison.high)))
    if comparison.low * comparison.high < 0:  # the test is sure, the interval barely is not
        low = 0.0
    by = f"{number(abs(comparison.difference), metric)} [{number(low, metric)}, {number(high, metric)}]"
    return f"{system_title(winner)} is better than {loser} on {metric.name} by {by}, {facts}."


def _why_not(comparison: Comparison) -> str:
    """Why a pair whose interval leaves out 0 is not called different; empty where the interval includes 0."""
    if comparison.low <= 0 <= comparison.high:
        return ""
    if comparison.p <= SIGNIFICANT:
        return (
            " The interval leaves out 0 because it is for this pair alone; p is Holm-corrected over all comparisons "
            f"(uncorrected {p_value(comparison.p)})."
        )
    return " The interval leaves out 0, but the randomisation test, which decides, does not confirm it."


def verdict(systems: Sequence[System], comparisons: Sequence[Comparison]) -> Verdict:
    """Headline, sentences and flags for the top of the report."""
    flags = tuple(
        flag
        for system in systems
        for seed, one in system.trainings.items()
        for flag in _flags(one, f"{system.title}, seed {seed}," if system.others else one.title)
    )
    adapters = [system.name for system in systems if system.name != "base"]
    if not adapters:
        return Verdict("Only the base was evaluated.", (), flags)
    severe = {AdapterName.parse(flag.system).method for flag in flags if flag.severe}
    sound = [name for name in adapters if name not in severe]
    once = len(adapters) > 1 and not any(system.others for system in systems)
    sentences = (
        against_base(systems, comparisons),
        against_floors(systems),
        between_adapters(comparisons),
        TRAINED_ONCE if once else "",
    )
    return Verdict(_headline(adapters, sound, comparisons), tuple(text for text in sentences if text), flags)


def judged_metrics(comparisons: Sequence[Comparison]) -> list[str]:
    """What the verdict speaks of: the bound, chrF++ and, where answers have keys, the accuracy."""
    compared = {comparison.metric for comparison in comparisons}
    return [key for key in (PRIMARY, SECONDARY, ACCURACY) if key in compared]


def details(comparisons: Sequence[Comparison]) -> list[str]:
    """Every pair of adapters on the metrics of the verdict, a sentence each."""
    return [
        sentence(comparison)
        for metric in judged_metrics(comparisons)
        for comparison in comparisons
        if comparison.metric == metric and "base" not in (comparison.first, comparison.second)
    ]


def _flags(training: System, title: str) -> list[Flag]:
    answers = flags_of(training.name, title, training.metrics)
    return untrained_flags(training.name, title, training.run) + answers


def _headline(adapters: list[str], sound: list[str], comparisons: Sequence[Comparison]) -> str:
    if not sound:
        return "No adapter can be recommended: every one of them is flagged below."
    leaders = {metric: unbeaten(sound, comparisons, metric) for metric in (PRIMARY, SECONDARY)}
    both = [name for name in sound if all(name in leading for leading in leaders.values())]
    left_out = "" if len(sound) == len(adapters) else ", among those not flagged below"
    if len(sound) == 1:
        rest = " evaluated" if len(adapters) == 1 else " that is not flagged below"
        return f"{system_title(sound[0])} is the only adapter{rest}."
    if len(both) == len(sound):
        how_many = {2: "two", 3: "three"}.get(len(sound), str(len(sound)))
        return f"The {how_many} adapters cannot be told apart on this test set{left_out}."
    if len(both) == 1:
        name = both[0]
        lead = [METRICS[metric].name for metric, leading in leaders.items() if leading == [name]]
        other = "" if len(lead) == 2 else ", and is not beaten on the other headline metric"
        if lead:
            return f"{system_title(name)} is the best adapter{left_out}: first on {' and '.join(lead)}{other}."
        return f"{system_title(name)} is the one adapter that no other beats on likelihood or chrF++{left_out}."
    if both:
        return f"{listed(system_title(name) for name in both)} lead and cannot be told apart{left_out}."
    return (
        f"No single best adapter{left_out}: {listed(system_title(name) for name in leaders[PRIMARY])} on likelihood, "
        f"{listed(system_title(name) for name in leaders[SECONDARY])} on chrF++."
    )


def unbeaten(names: Sequence[str], comparisons: Sequence[Comparison], metric: str) -> list[str]:
    """The systems among `names` that no other one of them beats significantly on the metric."""
    beaten = set()
    for comparison in comparisons:
        pair = {comparison.first, comparison.second}
        winner = better(comparison)
        if comparison.metric == metric and winner is not None and pair <= set(names):
            beaten |= pair - {winner}
    return [name for name in names if name not in beaten]


def against_base(systems: Sequence[System], comparisons: Sequence[Comparison]) -> str:
    """One sentence: on which metrics every adapter is better than the base, on which some are, on which none is."""
    by_name = {system.name: system for system in systems}
    if "base" not in by_name:
        return ""
    every, some, none = [], [], []
    for key in judged_metrics(comparisons):
        against = [item for item in comparisons if item.metric == key and "base" in (item.first, item.second)]
        names = [item.second if item.first == "base" else item.first for item in against]
        improved = [name for name, item in zip(names, against, strict=True) if better(item) == name]
        metric, base = METRICS[key], number(by_name["base"].scores[key]["value"], METRICS[key])
        numbers = f"{_range([by_name[name].scores[key]['value'] for name in names], metric)} against {base}"
        if len(improved) == len(names):
            every.append(f"{metric.name} ({numbers})")
        elif improved:
            verb = "is" if len(improved) == 1 else "are"
            some.append(f"on {metric.name} only {_titles(improved)} {verb} shown to be better than the base ({base})")
        else:
            none.append(f"{metric.name} ({numbers})")
    subject = "Every adapter" if len(by_name) > 2 else _titles(name for name in by_name if name != "base")
    clauses = [f"{subject} is better than the base on {listed(every)}"] if every else []
    last = [f"no adapter is shown to be better than the base on {listed(none, 'or')}"] if none else []
    return _sentence([*clauses, *some, *last])


def _range(values: Sequence[float], metric: Metric) -> str:
    low, high = number(min(values), metric), number(max(values), metric)
    return low if low == high else f"{low} to {high}"


def _titles(names: Iterable[str]) -> str:
    return listed(map(system_title, names))


def _sentence(clauses: Sequence[str]) -> str:
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def between_adapters(comparisons: Sequence[Comparison]) -> str:
    """One sentence on all pairs of adapters: who is better on what, then the pairs that cannot be told apart."""
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for item in comparisons:
        if "base" not in (item.first, item.second) and item.metric in (PRIMARY, SECONDARY, ACCURACY):
            pairs.setdefault((item.first, item.second), []).append(item)
    beaten: dict[tuple[str, str], list[str]] = {}  # (winner, metrics) -> losers
    even: dict[str, list[str]] = {}  # metrics -> pairs
    for pair, items in pairs.items():
        for winner in (*pair, None):
            names = [METRICS[item.metric].name for item in items if better(item) == winner]
            if not names:
                continue
            if winner is None:
                even.setdefault(listed(names, "or"), []).append(_titles(pair))
            else:
                [loser] = set(pair) - {winner}
                beaten.setdefault((winner, listed(names)), []).append(loser)
    clauses = [f"{system_title(one)} is better than {_titles(others)} on {on}" for (one, on), others in beaten.items()]
    whole = len(pairs) > 1 and not beaten and len(even) == 1
    for names, titles in even.items():
        clauses.append(f"{'no two adapters' if whole else ', or '.join(titles)} {_EVEN[whole]} on {names}")
    return _sentence(clauses)


_EVEN = {True: "can be told apart", False: "cannot be told apart"}


def against_floors(systems: Sequence[System]) -> str:
    """One sentence: where the adapters' chrF++ intervals lie beside every floor: above, below, or around it."""
    adapters = [system for system in systems if system.name not in BASES]
    places: dict[str, dict[str, list[str]]] = {}  # floor -> above, below, around -> titles
    for floor, values in adapters[0].metrics["floors"].items():
        places[floor] = {"above": [], "below": [], "around": []}
        for system in adapters:
            places[floor][_beside(system.scores[SECONDARY], values[SECONDARY])].append(system.title)

    def named(floor: str) -> str:
        words = "repeating the prompt" if floor == "prompt" else FLOOR_LABELS[floor].lower()
        return f"{words} ({adapters[0].metrics['floors'][floor][SECONDARY]:.1f})"

    cleared = [floor for floor, beside in places.items() if len(beside["above"]) == len(adapters)]
    clauses = [f"all chrF++ intervals of the adapters lie above {listed(map(named, cleared))}"] if cleared else []
    for floor in (floor for floor in places if floor not in cleared):
        below, around = places[floor]["below"], places[floor]["around"]
        if len(below) == len(adapters) > 1:
            clauses.append(f"every adapter stays below {named(floor)} on chrF++")
        elif below:
            clauses.append(f"{listed(below)} {'stays' if len(below) == 1 else 'stay'} below {named(floor)} on chrF++")
        if around:
            clauses.append(f"the chrF++ interval of {listed(around)} does not clear {named(floor)}")
    return _sentence(clauses)


def _beside(entry: dict[str, Any], floor: float) -> str:
    """Whether a score is above or below a floor with its whole interval; without an interval by its value."""
    low = entry["value"] if entry["low"] is None else entry["low"]
    high = entry["value"] if entry["high"] is None else entry["high"]
    return "above" if low > floor else "below" if high < floor else "around"
