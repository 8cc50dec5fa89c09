"""The report's words: which system is better, whether that can be told from noise, and what is wrong with its answers.

Flags come first. An adapter that writes frequent words in a circle can win ROUGE-1, so a flagged adapter is never
called the best. The thresholds are set against the references of the same test items, because a test set of short
answers repeats more than one of long articles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from adapters.naming import AdapterName
from eval.config import EvaluationConfig
from eval.metrics.definitions import HEADLINE, METRICS, POINT_METRICS, Metric
from eval.metrics.floors import FLOOR_LABELS
from eval.metrics.random_effects import compare_over_seeds
from eval.metrics.scoring import item_score
from eval.metrics.statistics import Comparison, adjust, compare
from eval.report.load import System

SIGNIFICANT = 0.05
PRIMARY = "bound_per_token"
SECONDARY = "chrf"
TRAINED_ONCE = (
    "Every method was trained once, so these are differences between adapters; another training seed can turn them "
    "round. More of them: python -m pipeline seeds --seeds 2,3."
)
JUDGED_FLOORS = ("other_answer", "frequent_words")


@dataclass(frozen=True)
class Flag:
    """Something wrong with a system's answers. Severe: the system cannot be called the best."""

    system: str
    kind: str
    text: str
    severe: bool = True


@dataclass(frozen=True)
class Verdict:
    """What stands on top of the report: one headline, plain sentences, flags."""

    headline: str
    sentences: tuple[str, ...]
    flags: tuple[Flag, ...]


def compare_all(systems: Sequence[System], evaluation: EvaluationConfig, seed: int) -> list[Comparison]:
    """Every pair of systems on every headline metric, Holm-adjusted over all of them together. Where both have several
    training seeds in common, over these seeds and the items; otherwise over the items.

    The smallest p of a randomisation test is 1 / (1 + permutations), and Holm multiplies it by the size of the family:
    at least a hundred permutations per comparison are drawn, so that a clear difference can show.
    """
    family = len(HEADLINE) * len(systems) * (len(systems) - 1) // 2
    comparisons = []
    for key in HEADLINE:
        for first, second in combinations(systems, 2):
            names, reduce = (first.name, second.name), METRICS[key].reduce
            seeds = seeds_in_common(first, second)
            if len(seeds) > 1:
                runs = (first.runs(key, seeds), second.runs(key, seeds))
                scores = (item_score(key, runs[0].sum(axis=0)), item_score(key, runs[1].sum(axis=0)))
                comparisons.append(compare_over_seeds(names, key, runs, scores, reduce))
                continue
            statistics = (first.statistics[key], second.statistics[key])
            comparisons.append(
                compare(
                    names,
                    key,
                    statistics,
                    (item_score(key, statistics[0]), item_score(key, statistics[1])),
                    reduce,
                    resamples=evaluation.bootstrap_resamples,
                    permutations=max(evaluation.permutations, 100 * family),
                    seed=seed,
                )
            )
    return adjust(comparisons)


def seeds_in_common(first: System, second: System) -> list[int]:
    """The training seeds that both have, in the first one's order; the base, which has none, agrees with any."""
    if first.name == "base":
        return list(second.trainings)
    return [seed for seed in first.trainings if second.name == "base" or seed in second.trainings]


def better(comparison: Comparison) -> str | None:
    """The better system of a pair, None where they cannot be told apart."""
    if comparison.p_adjusted > SIGNIFICANT or comparison.difference == 0:
        return None
    higher = comparison.first if comparison.difference > 0 else comparison.second
    lower = comparison.second if comparison.difference > 0 else comparison.first
    return lower if METRICS[comparison.metric].better == "lower" else higher


def sentence(comparison: Comparison, titles: dict[str, str]) -> str:
    """One comparison in plain words, the better or first system first."""
    metric = METRICS[comparison.metric]
    winner = better(comparison)
    first, second = titles[comparison.first], titles[comparison.second]
    facts = f"p = {_p(comparison.p_adjusted)}, n = {comparison.n}"
    if comparison.seeds > 1:
        facts += f" items and {comparison.seeds} training seeds"
    if winner is None:
        needed = ""
        if abs(comparison.difference) < comparison.detectable:  # which is stated before any correction
            needed = f"; about {number(comparison.detectable, metric)} would be needed to show"
        return (
            f"{first} and {second} cannot be told apart on {metric.name}: difference "
            f"{_signed(comparison.difference, metric)} [{_signed(comparison.low, metric)}, "
            f"{_signed(comparison.high, metric)}], {facts}{needed}.{_why_not(comparison)}"
        )
    loser = second if winner == comparison.first else first
    low, high = sorted((abs(comparison.low), abs(comparison.high)))
    if comparison.low * comparison.high < 0:  # the test is sure, the interval barely is not
        low = 0.0
    return (
        f"{titles[winner]} is better than {loser} on {metric.name} by {number(abs(comparison.difference), metric)} "
        f"[{number(low, metric)}, {number(high, metric)}], {facts}."
    )


def _why_not(comparison: Comparison) -> str:
    """Why a pair whose interval leaves out 0 is not called different; empty where the interval includes 0."""
    if comparison.low <= 0 <= comparison.high:
        return ""
    if comparison.p <= SIGNIFICANT:
        return (
            " The interval leaves out 0 because it is for this pair alone; p is Holm-corrected over all comparisons "
            f"(uncorrected {_p(comparison.p)})."
        )
    return " The interval leaves out 0, but the randomisation test, which decides, does not confirm it."


def flags_of(name: str, title: str, content: dict[str, Any]) -> list[Flag]:
    """What is wrong with one system's answers, from the content of its metrics.json."""
    metrics = {key: entry["value"] for key, entry in content["metrics"].items()}
    reference = content["ceiling"]
    found = _collapse_flags(name, title, metrics, reference, content["n"])
    found += _language_flags(name, title, metrics, reference)
    found += _form_flags(name, title, metrics, reference)
    floors = {floor: content["floors"][floor][SECONDARY] for floor in JUDGED_FLOORS}
    worst = max(floors, key=lambda floor: floors[floor])
    if metrics[SECONDARY] <= floors[worst]:
        found.append(
            Flag(
                name,
                "below floor",
                f"{title} scores chrF++ {metrics[SECONDARY]:.1f}, no better than "
                f"{FLOOR_LABELS[worst].lower()} ({floors[worst]:.1f}).",
            )
        )
    return found


def _collapse_flags(
    name: str, title: str, metrics: dict[str, float], reference: dict[str, float], items: int
) -> list[Flag]:
    reasons = []
    if metrics["repetition"] > max(0.2, reference["repetition"] + 0.15):
        reasons.append(
            f"{_percent(metrics['repetition'])} of its word triples repeat "
            f"(references: {_percent(reference['repetition'])})"
        )
    if metrics["common_words"] > reference["common_words"] + 0.25:
        reasons.append(
            f"{_percent(metrics['common_words'])} of its words are the most frequent ones "
            f"(references: {_percent(reference['common_words'])})"
        )
    mostly_empty = metrics["empty"] >= 0.5  # said by a flag of its own
    often = metrics["same_answer"] * items >= 3 and metrics["same_answer"] > reference["same_answer"] + 0.1
    if often and not mostly_empty:
        reasons.append(f"one and the same answer on {_percent(metrics['same_answer'])} of the items")
    if metrics["distinct2"] < 0.4 * reference["distinct2"] and not mostly_empty:
        reasons.append(f"distinct-2 is {metrics['distinct2']:.2f} (references: {reference['distinct2']:.2f})")
    if not reasons:
        return []
    return [Flag(name, "collapsed", f"{title} has collapsed: {'; '.join(reasons)}. Its overlap scores mean little.")]


def _language_flags(name: str, title: str, metrics: dict[str, float], reference: dict[str, float]) -> list[Flag]:
    flags = []
    if metrics["language_en"] > reference["language_en"] + 0.2:
        flags.append(
            Flag(name, "English", f"{title} writes English in {_percent(metrics['language_en'])} of its answers.")
        )
    keys = ("language_ms", "language_jv", "language_su", "language_other")
    elsewhere, usual = sum(metrics[key] for key in keys), sum(reference[key] for key in keys)
    if elsewhere > usual + 0.25:
        flags.append(
            Flag(
                name,
                "other language",
                f"{_percent(elsewhere)} of the answers of {title} are taken for Malay, Javanese, Sundanese or another "
                f"language (references: {_percent(usual)}).",
            )
        )
    return flags


def _form_flags(name: str, title: str, metrics: dict[str, float], reference: dict[str, float]) -> list[Flag]:
    checks = (
        (metrics["empty"] > 0.2, "empty", f"{title} leaves {_percent(metrics['empty'])} of the answers empty.", True),
        (
            metrics["truncated"] > 0.5,
            "truncated",
            f"{_percent(metrics['truncated'])} of the answers of {title} never stop before the token budget ends.",
            False,
        ),
        (
            metrics["echo"] > reference["echo"] + 0.2,
            "prompt echo",
            f"{title} repeats the prompt in {_percent(metrics['echo'])} of its answers "
            f"(references: {_percent(reference['echo'])}).",
            True,
        ),
        (
            metrics["leftover"] > 0.02,
            "leftover markers",
            f"{_percent(metrics['leftover'])} of the answers of {title} contain special tokens.",
            False,
        ),
        (
            not 0.5 <= metrics["length_ratio"] <= 2.0 and metrics["empty"] < 0.5,
            "length",
            f"The answers of {title} have {metrics['length_ratio']:.1f} times the words of the references.",
            False,
        ),
    )
    return [Flag(name, kind, text, severe) for wrong, kind, text, severe in checks if wrong]


def verdict(systems: Sequence[System], comparisons: Sequence[Comparison]) -> Verdict:
    """Headline, sentences and flags for the top of the report."""
    titles = {system.name: system.title for system in systems}
    flags = tuple(
        flag
        for system in systems
        for seed, one in system.trainings.items()
        for flag in flags_of(one.name, f"{system.title}, seed {seed}," if system.others else one.title, one.metrics)
    )
    adapters = [system.name for system in systems if system.name != "base"]
    if not adapters:
        return Verdict("Only the base was evaluated.", (), flags)
    severe = {AdapterName.parse(flag.system).method for flag in flags if flag.severe}
    sound = [name for name in adapters if name not in severe]
    sentences = [_against_base(systems, comparisons, titles), _against_floors(systems)]
    sentences += [
        sentence(comparison, titles)
        for metric in (PRIMARY, SECONDARY)
        for comparison in comparisons
        if comparison.metric == metric and "base" not in (comparison.first, comparison.second)
    ]
    if len(adapters) > 1 and not any(system.others for system in systems):
        sentences.append(TRAINED_ONCE)
    return Verdict(_headline(adapters, sound, comparisons, titles), tuple(text for text in sentences if text), flags)


def _headline(adapters: list[str], sound: list[str], comparisons: Sequence[Comparison], titles: dict[str, str]) -> str:
    if not sound:
        return "No adapter can be recommended: every one of them is flagged below."
    leaders = {metric: unbeaten(sound, comparisons, metric) for metric in (PRIMARY, SECONDARY)}
    both = [name for name in sound if all(name in leading for leading in leaders.values())]
    left_out = "" if len(sound) == len(adapters) else ", among those not flagged below"
    if len(sound) == 1:
        rest = " evaluated" if len(adapters) == 1 else " that is not flagged below"
        return f"{titles[sound[0]]} is the only adapter{rest}."
    if len(both) == len(sound):
        how_many = {2: "two", 3: "three"}.get(len(sound), str(len(sound)))
        return f"The {how_many} adapters cannot be told apart on this test set{left_out}."
    if len(both) == 1:
        name = both[0]
        lead = [METRICS[metric].name for metric, leading in leaders.items() if leading == [name]]
        other = "" if len(lead) == 2 else ", and is not beaten on the other headline metric"
        if lead:
            return f"{titles[name]} is the best adapter{left_out}: first on {' and '.join(lead)}{other}."
        return f"{titles[name]} is the one adapter that no other beats on likelihood or chrF++{left_out}."
    if both:
        return f"{_join(titles[name] for name in both)} lead and cannot be told apart{left_out}."
    return (
        f"No single best adapter{left_out}: {_join(titles[name] for name in leaders[PRIMARY])} on likelihood, "
        f"{_join(titles[name] for name in leaders[SECONDARY])} on chrF++."
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


def _against_base(systems: Sequence[System], comparisons: Sequence[Comparison], titles: dict[str, str]) -> str:
    by_name = {system.name: system for system in systems}
    if "base" not in by_name:
        return ""
    parts = []
    for metric in (PRIMARY, SECONDARY):
        against = [item for item in comparisons if item.metric == metric and "base" in (item.first, item.second)]
        winners = [better(item) for item in against]
        names = [item.second if item.first == "base" else item.first for item in against]
        improved = [name for name, winner in zip(names, winners, strict=True) if winner == name]
        label = METRICS[metric].name
        values = sorted(by_name[name].scores[metric]["value"] for name in names)
        base = number(by_name["base"].scores[metric]["value"], METRICS[metric])
        ends = [number(value, METRICS[metric]) for value in (values[0], values[-1])]
        spread = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
        if len(improved) == len(names):
            subject = "Every adapter" if len(names) > 1 else titles[names[0]]
            parts.append(f"{subject} is better than the base on {label} ({spread} against {base}).")
        elif improved:
            rest = _join(titles[name] for name in names if name not in improved)
            verb = "improves" if len(improved) == 1 else "improve"
            winning = _join(titles[name] for name in improved)
            parts.append(f"On {label}, {winning} {verb} on the base ({base}); for {rest} that is not shown.")
        else:
            parts.append(f"No adapter is shown to be better than the base on {label} ({spread} against {base}).")
    return " ".join(parts)


def _against_floors(systems: Sequence[System]) -> str:
    """Where the adapters' chrF++ intervals lie beside every floor: above, below, or around it."""
    adapters = [system for system in systems if system.name != "base"]
    places: dict[str, dict[str, list[str]]] = {}  # floor -> above, below, around -> titles
    for floor, values in adapters[0].metrics["floors"].items():
        places[floor] = {"above": [], "below": [], "around": []}
        for system in adapters:
            places[floor][_beside(system.scores[SECONDARY], values[SECONDARY])].append(system.title)

    def named(floor: str) -> str:
        words = "repeating the prompt" if floor == "prompt" else FLOOR_LABELS[floor].lower()
        return f"{words} ({adapters[0].metrics['floors'][floor][SECONDARY]:.1f})"

    cleared = [floor for floor, found in places.items() if len(found["above"]) == len(adapters)]
    parts = []
    if cleared:
        parts.append(f"All chrF++ intervals of the adapters lie above {_join(map(named, cleared))}.")
    for floor in (floor for floor in places if floor not in cleared):
        below, around = places[floor]["below"], places[floor]["around"]
        if len(below) == len(adapters) > 1:
            parts.append(f"Every adapter stays below {named(floor)} on chrF++.")
        elif below:
            parts.append(f"{_join(below)} {'stays' if len(below) == 1 else 'stay'} below {named(floor)} on chrF++.")
        if around:
            parts.append(f"The chrF++ interval of {_join(around)} does not clear {named(floor)}.")
    return " ".join(parts)


def _beside(entry: dict[str, Any], floor: float) -> str:
    """Whether a score is above or below a floor with its whole interval; without an interval by its value."""
    low = entry["value"] if entry["low"] is None else entry["low"]
    high = entry["value"] if entry["high"] is None else entry["high"]
    return "above" if low > floor else "below" if high < floor else "around"


def number(value: float, metric: Metric) -> str:
    """A value of the metric as printed: a percentage for shares, otherwise with the metric's decimals."""
    if metric.share:
        return f"{100 * value:.0f}%"
    return f"{value:.{metric.decimals}f}"


def metric_of(key: str) -> Metric:
    return METRICS.get(key) or POINT_METRICS[key]


def _signed(value: float, metric: Metric) -> str:
    text = number(abs(value), metric)
    return text if float(text.rstrip("%")) == 0 else f"{'+' if value > 0 else '−'}{text}"


def _p(value: float) -> str:
    if SIGNIFICANT < value < 0.0505:  # 0.050 would look like a rejection
        return f"{value:.4f}"
    return "below 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _join(names: Any) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
