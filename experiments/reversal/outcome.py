"""What the answers say: right by direction, and paired tests on the pairs that were taught one way.

    knows backwards less than forwards?   each system, the same pairs both ways     exact McNemar test
    who is better backwards?              two systems, the same pairs backwards      exact McNemar test

McNemar (1947): of the pairs on which the two differ, half should go either way; the p value is the exact binomial one,
Holm-adjusted over all tests. Intervals of shares are Wilson's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from eval.metrics.accuracy import holds
from eval.metrics.statistics import SIGNIFICANT, holm, wilson_interval
from experiments.reversal.pairs import KINDS, Pair

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Answered:
    """One pair asked in one direction."""

    kind: str
    both: bool
    direction: str
    question: str
    expected: str
    answer: str
    right: bool


@dataclass(frozen=True)
class PairedTest:
    """first, second: what is compared, as words. only_first: pairs right in the first alone."""

    first: str
    second: str
    only_first: int
    only_second: int
    n: int
    p: float
    p_adjusted: float


def answered(pair: Pair, direction: str, answer: str) -> Answered:
    expected = pair.answer(direction)
    return Answered(
        pair.kind, pair.both, direction, pair.question(direction), expected, answer, holds(answer, expected)
    )


def shares(answers: Sequence[Answered]) -> list[dict[str, Any]]:
    """Right answers by kind (and all), by how they were taught, and by direction, with intervals."""
    rows = []
    for kind in (*KINDS, "all"):
        for both in (False, True):
            for direction in DIRECTIONS:
                own = [one.right for one in answers if (one.both, one.direction) == (both, direction)
                       and kind in (one.kind, "all")]  # fmt: skip
                if not own:
                    continue
                interval = wilson_interval(sum(own), len(own))
                rows.append({
                    "kind": kind, "taught": "both ways" if both else "forward", "asked": direction,
                    "right": sum(own), "n": len(own), "low": interval.low, "high": interval.high,
                })  # fmt: skip
    return rows


def paired_tests(by_system: Mapping[str, Sequence[Answered]]) -> list[PairedTest]:
    """On the pairs that were taught forwards alone: each system's two directions, and every two systems backwards."""
    rights = {
        (system, direction): [one.right for one in answers if one.direction == direction and not one.both]
        for system, answers in by_system.items()
        for direction in DIRECTIONS
    }
    compared = [((system, "forward"), (system, "backward")) for system in by_system]
    compared += [((one, "backward"), (other, "backward")) for one, other in combinations(by_system, 2)]
    found = []
    for first, second in compared:
        pairs = list(zip(rights[first], rights[second], strict=True))
        only_first = sum(one and not other for one, other in pairs)
        only_second = sum(other and not one for one, other in pairs)
        found.append(
            PairedTest(
                " ".join(first),
                " ".join(second),
                only_first,
                only_second,
                len(pairs),
                _mcnemar(only_first, only_second),
                1,
            )
        )
    adjusted = holm([test.p for test in found])
    return [replace(test, p_adjusted=p) for test, p in zip(found, adjusted, strict=True)]


def _mcnemar(only_first: int, only_second: int) -> float:
    from scipy.stats import binomtest

    differing = only_first + only_second
    return float(binomtest(only_first, differing).pvalue) if differing else 1.0


def sentences(by_system: Mapping[str, Sequence[Answered]], found: Sequence[PairedTest]) -> list[str]:
    """A sentence per test."""
    said = []
    for test in found:
        facts = f"{test.only_first} against {test.only_second} of {test.n} pairs, p = {test.p_adjusted:.3g}"
        if test.p_adjusted > SIGNIFICANT:
            said.append(f"{test.first} and {test.second} cannot be told apart ({facts}).")
        else:
            better, worse = (
                (test.first, test.second) if test.only_first > test.only_second else (test.second, test.first)
            )
            said.append(f"{better} is better than {worse} ({facts}).")
    return said


def content(by_system: Mapping[str, Sequence[Answered]], seed: int) -> dict[str, Any]:
    """What reversal.json holds."""
    found = paired_tests(by_system)
    return {
        "seed": seed,
        "systems": {
            system: {"shares": shares(answers), "answers": [asdict(one) for one in answers]}
            for system, answers in by_system.items()
        },
        "tests": [asdict(test) for test in found],
        "sentences": sentences(by_system, found),
    }
