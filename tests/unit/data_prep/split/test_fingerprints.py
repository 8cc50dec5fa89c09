"""Fingerprints: MinHash against sets of words."""

from __future__ import annotations

import random

import numpy as np
import pytest

from data_prep.split.fingerprints import Words, jaccard, signatures


def test_minhash_estimates_jaccard() -> None:
    rng = random.Random(11)
    base = [f"kata{number}" for number in range(60)]
    texts = [" ".join(rng.sample(base, rng.randint(20, 60))) for _ in range(40)]
    sets = Words(texts).shingles(1)
    signature = signatures(sets)
    for one in range(40):
        for other in range(one):
            exact = len(set(texts[one].split()) & set(texts[other].split())) / len(
                set(texts[one].split()) | set(texts[other].split())
            )
            assert jaccard(sets.row(one), sets.row(other)) == pytest.approx(exact)
            assert np.mean(signature[one] == signature[other]) == pytest.approx(exact, abs=0.25)
