"""What is wrong with a system's answers: collapse, another language, the wrong form, no better than nothing.

An adapter that writes frequent words in a circle can win ROUGE-1, so an adapter with a severe flag is never called the
best. The thresholds are set against the references of the same test items, because a test set of short answers repeats
more than one of long articles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.metrics.definitions import SECONDARY
from eval.metrics.floors import FLOOR_LABELS
from eval.report.formatting import percent

JUDGED_FLOORS = ("other_answer", "frequent_words")
OFTEN = 0.05  # of the references taken for Malay


@dataclass(frozen=True)
class Flag:
    """Something wrong with a system's answers. Severe: the system cannot be called the best."""

    system: str
    kind: str
    text: str
    severe: bool = True


def flags_of(name: str, title: str, content: dict[str, Any]) -> list[Flag]:
    """What is wrong with one system's answers, from the content of its metrics.json."""
    metrics = {key: entry["value"] for key, entry in content["metrics"].items()}
    reference = content["ceiling"]
    flags = _collapse_flags(name, title, metrics, reference, content["n"])
    flags += _language_flags(name, title, metrics, reference)
    flags += _form_flags(name, title, metrics, reference)
    floors = {floor: content["floors"][floor][SECONDARY] for floor in JUDGED_FLOORS}
    worst = max(floors, key=lambda floor: floors[floor])
    if metrics[SECONDARY] <= floors[worst]:
        score, floor = f"{metrics[SECONDARY]:.1f}", f"{FLOOR_LABELS[worst].lower()} ({floors[worst]:.1f})"
        flags.append(Flag(name, "below floor", f"{title} scores chrF++ {score}, no better than {floor}."))
    return flags


def mistakes_indonesian(references: Mapping[str, float]) -> bool:
    """Whether the detector takes Indonesian for Malay on texts like these: the ceiling's scores say how often."""
    return references["language_ms"] >= OFTEN


def untrained_flags(name: str, title: str, run: dict[str, Any]) -> list[Flag]:
    """From run.json: the best validation was the one before the first step, so that one was exported."""
    best = (run.get("validation") or {}).get("best") or {}
    if best.get("step") != 0:
        return []
    text = f"{title} never improved on the base in validation: the exported adapter is the untrained one."
    return [Flag(name, "untrained", text)]


def _collapse_flags(
    name: str, title: str, metrics: dict[str, float], reference: dict[str, float], items: int
) -> list[Flag]:
    reasons = []
    if metrics["repetition"] > max(0.2, reference["repetition"] + 0.15):
        reasons.append(
            f"{percent(metrics['repetition'])} of its word triples repeat "
            f"(references: {percent(reference['repetition'])})"
        )
    if metrics["common_words"] > reference["common_words"] + 0.25:
        reasons.append(
            f"{percent(metrics['common_words'])} of its words are the most frequent ones "
            f"(references: {percent(reference['common_words'])})"
        )
    mostly_empty = metrics["empty"] >= 0.5  # said by a flag of its own
    often = metrics["same_answer"] * items >= 3 and metrics["same_answer"] > reference["same_answer"] + 0.1
    if often and not mostly_empty:
        reasons.append(f"one and the same answer on {percent(metrics['same_answer'])} of the items")
    if metrics["distinct2"] < 0.4 * reference["distinct2"] and not mostly_empty:
        reasons.append(f"distinct-2 is {metrics['distinct2']:.2f} (references: {reference['distinct2']:.2f})")
    if not reasons:
        return []
    return [Flag(name, "collapsed", f"{title} has collapsed: {'; '.join(reasons)}. Its overlap scores mean little.")]


def _language_flags(name: str, title: str, metrics: dict[str, float], reference: dict[str, float]) -> list[Flag]:
    flags = []
    if metrics["language_en"] > reference["language_en"] + 0.2:
        flags.append(
            Flag(name, "English", f"{title} writes English in {percent(metrics['language_en'])} of its answers.")
        )
    keys = ["language_ms", "language_jv", "language_su", "language_other"]
    if mistakes_indonesian(reference):
        keys.remove("language_ms")
    names = ("Malay, " if "language_ms" in keys else "") + "Javanese, Sundanese or another language"
    elsewhere, usual = sum(metrics[key] for key in keys), sum(reference[key] for key in keys)
    if elsewhere > usual + 0.25:
        flags.append(
            Flag(
                name,
                "other language",
                f"{percent(elsewhere)} of the answers of {title} are taken for {names} (references: {percent(usual)}).",
            )
        )
    return flags


def _form_flags(name: str, title: str, metrics: dict[str, float], reference: dict[str, float]) -> list[Flag]:
    checks = (
        (metrics["empty"] > 0.2, "empty", f"{title} leaves {percent(metrics['empty'])} of the answers empty.", True),
        (
            metrics["truncated"] > 0.5,
            "truncated",
            f"{percent(metrics['truncated'])} of the answers of {title} never stop before the token budget ends.",
            False,
        ),
        (
            metrics["echo"] > reference["echo"] + 0.2,
            "prompt echo",
            f"{title} repeats the prompt in {percent(metrics['echo'])} of its answers "
            f"(references: {percent(reference['echo'])}).",
            True,
        ),
        (
            metrics["leftover"] > 0.02,
            "leftover markers",
            f"{percent(metrics['leftover'])} of the answers of {title} contain special tokens.",
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
