"""The audit against brute force, and planted leaks of every class."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from data_prep.config import LeakageConfig
from data_prep.rows.text import folded_words, normal_form
from data_prep.split.leakage import Audit, AuditRows, count_leaky
from tests.support.cendol_rows import sentence

PLANTED = 20
Row = tuple[str, str, str]  # group, input, output


def audit_of(rows: list[Row], vectors: np.ndarray | None = None, **changes: float) -> Audit:
    groups, inputs, outputs = zip(*rows, strict=True)
    config = LeakageConfig(**changes)  # pyright: ignore[reportArgumentType]
    return Audit(AuditRows(groups, ["t"] * len(rows), inputs, outputs, vectors), config)


def clean_rows(count: int, seed: int, name: str) -> list[Row]:
    rng = random.Random(seed)
    return [(f"{name}{number}", sentence(rng, 9), sentence(rng, 30)) for number in range(count)]


def brute_force(one: Row, other: Row, config: LeakageConfig) -> set[str]:
    """The classes in which two rows leak, with plain Python sets."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        found = folded_words(text)
        return {tuple(found[place : place + 13]) for place in range(len(found) - 12)}

    def similar(left: list[str], right: list[str]) -> bool:
        both, all_words = set(left) & set(right), set(left) | set(right)
        return bool(all_words) and len(both) / len(all_words) >= config.jaccard

    found = set()
    if one[0] == other[0]:
        found.add("content_group")
    if one[1:] == other[1:]:
        found.add("exact_pair")
    if [normal_form(text) for text in one[1:]] == [normal_form(text) for text in other[1:]]:
        found.add("normalised_pair")
    answers = folded_words(one[2]), folded_words(other[2])
    long_answers = min(map(len, answers)) >= config.answer_words
    if long_answers and answers[0] == answers[1]:
        found.add("same_answer")
    if shingles(one[1]) & shingles(other[1]) or shingles(one[2]) & shingles(other[2]):
        found.add("shared_shingle")
    if (long_answers and similar(*answers)) or similar(
        folded_words(f"{one[1]} {one[2]}"), folded_words(f"{other[1]} {other[2]}")
    ):
        found.add("near_duplicate")
    return found


def overlapping_rows(count: int, seed: int) -> list[Row]:
    """Rows of few distinct words and short texts, so that all classes occur among them by chance."""
    rng = random.Random(seed)
    vocabulary = [f"kata{number}" for number in range(12)]
    bases = [[rng.choice(vocabulary) for _ in range(rng.randint(0, 40))] for _ in range(25)]

    def text() -> str:
        chosen = list(rng.choice(bases))
        for _ in range(rng.randint(0, 4)):
            if chosen:
                chosen[rng.randrange(len(chosen))] = rng.choice(vocabulary)
        return rng.choice((" ", "  ", "\t")).join(chosen)

    return [(f"g{rng.randrange(60)}", text(), text()) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_audit_equals_brute_force(seed: int) -> None:
    rows = overlapping_rows(120, seed)
    audit = audit_of(rows)
    held, others = np.arange(40), np.arange(40, 120)
    found = {(leak.kind, leak.held, leak.other) for leak in audit.leaks(held, others)}
    expected = {
        (kind, one, other)
        for one in held.tolist()
        for other in others.tolist()
        for kind in brute_force(rows[one], rows[other], audit.config)
    }
    assert found == expected
    assert {kind for kind, _, _ in expected} >= {"content_group", "shared_shingle", "near_duplicate", "same_answer"}


@pytest.mark.parametrize("seed", range(3))
def test_families_are_the_connected_components_of_brute_force(seed: int) -> None:
    rows = overlapping_rows(90, seed)
    audit = audit_of(rows)
    members = np.arange(10, 90)
    labels = audit.families(members)
    parent = list(range(len(members)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    for left in range(len(members)):
        for right in range(left):
            if brute_force(rows[members[left]], rows[members[right]], audit.config):
                parent[root(left)] = root(right)
    roots = [root(place) for place in range(len(members))]
    assert len(set(zip(roots, labels.tolist(), strict=True))) == len(set(roots)) == len(set(labels.tolist()))


def same_group(rng: random.Random, twin: Row) -> Row:
    return (twin[0], sentence(rng, 9), sentence(rng, 30))


def same_pair(rng: random.Random, twin: Row) -> Row:
    return ("own", twin[1], twin[2])


def same_normalised_pair(rng: random.Random, twin: Row) -> Row:
    return ("own", twin[1].replace(" ", " \t", 2), f" {twin[2]}\n")


def same_answer(rng: random.Random, twin: Row) -> Row:
    return ("own", sentence(rng, 9), twin[2].capitalize() + "!")


def shingle_in_answer(rng: random.Random, twin: Row) -> Row:
    return ("own", sentence(rng, 9), f"{sentence(rng, 40)} {' '.join(twin[2].split()[8:21])} {sentence(rng, 40)}")


def edited_answer(rng: random.Random, twin: Row) -> Row:
    changed = twin[2].split()
    for place in rng.sample(range(len(changed)), 2):
        changed[place] = sentence(rng, 1)
    return ("own", sentence(rng, 9), " ".join(changed))


def reordered_answer(rng: random.Random, twin: Row) -> Row:
    changed = twin[2].split()
    rng.shuffle(changed)
    return ("own", sentence(rng, 9), " ".join(changed))


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("content_group", same_group),
        ("exact_pair", same_pair),
        ("normalised_pair", same_normalised_pair),
        ("same_answer", same_answer),
        ("shared_shingle", shingle_in_answer),
        ("near_duplicate", edited_answer),
        ("near_duplicate", reordered_answer),
    ],
)
def test_every_planted_leak_is_caught(kind: str, plant: Callable[[random.Random, Row], Row]) -> None:
    rng = random.Random(5)
    training = clean_rows(300, 1, "train")
    twins = rng.sample(range(300), PLANTED)
    held = [*(plant(rng, training[twin]) for twin in twins), *clean_rows(50, 2, "test")]
    audit = audit_of([*training, *held])
    leaks = audit.leaks(np.arange(300, 300 + len(held)), np.arange(300))
    caught = {(leak.held - 300, leak.other) for leak in leaks if leak.kind == kind}
    assert caught == set(enumerate(twins))
    assert count_leaky(leaks)["any"] == PLANTED


def test_planted_cosine_leaks_are_caught() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 32))
    vectors[100 : 100 + PLANTED] = vectors[:PLANTED] + 0.02 * rng.normal(size=(PLANTED, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    audit = audit_of(clean_rows(200, 3, "row"), vectors.astype(np.float32), cosine=0.98)
    leaks = audit.leaks(np.arange(100, 200), np.arange(100))
    assert {(leak.kind, leak.held, leak.other) for leak in leaks} == {("cosine", 100 + n, n) for n in range(PLANTED)}
    labels = audit.families(np.arange(200))
    assert all(labels[number] == labels[100 + number] for number in range(PLANTED))
    assert len(set(labels.tolist())) == 200 - PLANTED


def test_a_long_template_is_no_content() -> None:
    rng = random.Random(7)
    template = sentence(rng, 20)
    rows = [(f"g{number}", f"{template} {sentence(rng, 6)}", sentence(rng, 12)) for number in range(30)]
    assert audit_of(rows).leaks(np.arange(10), np.arange(10, 30)) == []
