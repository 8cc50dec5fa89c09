"""Fingerprints: MinHash against sets of words."""

from __future__ import annotations

import random

import numpy as np
import pytest

from data_prep.split.fingerprints import PAIRS_AT_ONCE, Similarity, Words, signatures


def test_minhash_estimates_jaccard() -> None:
    rng = random.Random(11)
    base = [f"kata{number}" for number in range(60)]
    texts = [" ".join(rng.sample(base, rng.randint(20, 60))) for _ in range(40)]
    sets = Words(texts).shingles(1)
    signature = signatures(sets)
    similarity = Similarity(sets)
    for one in range(40):
        for other in range(one):
            exact = len(set(texts[one].split()) & set(texts[other].split())) / len(
                set(texts[one].split()) | set(texts[other].split())
            )
            assert similarity.of(np.array([one]), np.array([other])).tolist() == [exact]
            assert np.mean(signature[one] == signature[other]) == pytest.approx(exact, abs=0.25)


def test_similarities_of_many_pairs_are_those_of_sets_of_words() -> None:
    """More pairs than are compared at once, empty texts among them; the threshold is met, not approached."""
    rng = random.Random(3)
    texts = ["", "", *(" ".join(rng.choices("abcdefghij", k=rng.randint(1, 12))) for _ in range(298))]
    ones, others = (places.ravel() for places in np.indices((300, 300)))
    assert len(ones) > PAIRS_AT_ONCE
    words = [set(text.split()) for text in texts]
    exact = [
        len(words[one] & words[other]) / max(1, len(words[one] | words[other]))
        for one, other in zip(ones.tolist(), others.tolist(), strict=True)
    ]
    similarity = Similarity(Words(texts).shingles(1))
    assert similarity.of(ones, others).tolist() == exact
    for least in (0.5, 0.75, 0.8, 1.0):
        assert similarity.pairs_from(ones, others, least).tolist() == [value >= least for value in exact]
