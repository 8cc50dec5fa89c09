"""Texts as numbers, so that overlap between many of them is found by sorting: words, shingles, MinHash signatures.

All hashes are 64 bits wide; among 10 million of them two collide by chance with probability 3e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from data_prep.rows.text import folded_words

PERMUTATIONS = 128
BAND_ROWS = 4
"""32 bands of 4: a pair of Jaccard similarity 0.8 shares a band with probability 1 - 5e-8, one of 0.5 with 0.87; the
similarity of the pairs found is then computed exactly."""
PAIRS_AT_ONCE = 1 << 16
"""Pairs of sets that are compared at once: their sets are copied, some tens of megabytes for texts of 100 words."""


@dataclass(frozen=True)
class Sets:
    """For each of N rows a set of 64-bit hashes: those of row i are `values[offsets[i]:offsets[i + 1]]`, sorted."""

    values: np.ndarray
    offsets: np.ndarray

    def sizes(self) -> np.ndarray:
        return np.diff(self.offsets)

    def owners(self) -> np.ndarray:
        """The row of each value."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.sizes())

    def take(self, rows: np.ndarray) -> Sets:
        """The sets of `rows`, in that order."""
        sizes = self.sizes()[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Sets(self.values[places], offsets)


class Words:
    """The words of N texts as numbers, row after row."""

    def __init__(self, texts: Sequence[str]) -> None:
        vocabulary: dict[str, int] = {}
        flat: list[int] = []
        lengths = np.empty(len(texts), dtype=np.int64)
        for row, text in enumerate(texts):
            own = folded_words(text)
            lengths[row] = len(own)
            flat += [vocabulary.setdefault(word, len(vocabulary)) for word in own]
        self.lengths = lengths
        self._offsets = np.concatenate([[0], np.cumsum(lengths)])
        self._hashes = _mix(np.array(flat, dtype=np.uint64) + np.uint64(1))

    def whole(self) -> np.ndarray:
        """One hash per text, of all its words in order, (N,) uint64; 0 for a text without words."""
        powers = _powers(int(self.lengths.max(initial=0)) + 1)
        position = np.arange(len(self._hashes)) - np.repeat(self._offsets[:-1], self.lengths)
        terms = np.concatenate([self._hashes * powers[position], np.zeros(1, dtype=np.uint64)])
        sums = np.add.reduceat(terms, self._offsets[:-1]) if len(self.lengths) else np.zeros(0, dtype=np.uint64)
        return np.where(self.lengths > 0, _mix(sums + self.lengths.astype(np.uint64)), np.uint64(0))

    def shingles(self, size: int) -> Sets:
        """The set of `size`-word shingles of each text; none where it is shorter."""
        count = max(0, len(self._hashes) - size + 1)
        total = np.zeros(count, dtype=np.uint64)
        for step, power in enumerate(_powers(size)):
            total += self._hashes[step : step + count] * power
        owner = np.repeat(np.arange(len(self.lengths)), self.lengths)
        whole = owner[:count] == owner[size - 1 : size - 1 + count]  # the window does not reach into the next text
        return _sets(owner[:count][whole], _mix(total[whole]), len(self.lengths))


def signatures(sets: Sets) -> np.ndarray:
    """MinHash signatures, (N, PERMUTATIONS) uint32. Rows with an empty set have all ones.

    Broder, "On the resemblance and containment of documents", 1997: P[equal minima] is the Jaccard similarity.
    """
    result = np.full((len(sets.offsets) - 1, PERMUTATIONS), np.uint32(0xFFFFFFFF), dtype=np.uint32)
    filled = np.flatnonzero(sets.sizes())
    if len(filled) == 0:
        return result
    seeds = _mix(np.arange(1, PERMUTATIONS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    starts = sets.offsets[filled]
    for column, seed in enumerate(seeds):
        scrambled = ((sets.values ^ seed) * seed) >> np.uint64(32)
        result[filled, column] = np.minimum.reduceat(scrambled, starts).astype(np.uint32)
    return result


def bands(signature: np.ndarray) -> np.ndarray:
    """One hash per band, (N, PERMUTATIONS / BAND_ROWS) uint64: equal where all rows of the band are."""
    grouped = signature.reshape(len(signature), -1, BAND_ROWS).astype(np.uint64)
    result = np.zeros(grouped.shape[:2], dtype=np.uint64)
    for row in range(BAND_ROWS):
        result = _mix(result ^ (grouped[:, :, row] + np.uint64(1)))
    return result


class Similarity:
    """Jaccard similarities of many pairs of sets at once: each set a row of a sparse matrix with a column per value."""

    def __init__(self, sets: Sets) -> None:
        distinct, columns = np.unique(sets.values, return_inverse=True)
        shape = (len(sets.offsets) - 1, len(distinct))
        self._sizes = sets.sizes()
        self._matrix = csr_array((np.ones(len(columns), dtype=np.int8), columns, sets.offsets), shape)

    def of(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Of row `ones[k]` and row `others[k]`, (P,) float64; 0 where one is empty."""
        values = np.zeros(len(ones))
        for start in range(0, len(ones), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            values[part] = self._of(ones[part], others[part])
        return values

    def pairs_from(self, ones: np.ndarray, others: np.ndarray, least: float) -> np.ndarray:
        """(P,) bool: whose similarity is `least` (above 0) or more. Sizes alone rule out most pairs: what two sets have
        in common is the smaller one at most."""
        sizes = self._sizes[ones], self._sizes[others]
        found = np.minimum(*sizes) / np.maximum(1, np.maximum(*sizes)) >= least
        found[found] = self.of(ones[found], others[found]) >= least
        return found

    def _of(self, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        common = np.diff(self._matrix[ones].multiply(self._matrix[others]).indptr)
        both = self._sizes[ones] + self._sizes[others] - common
        return common / np.maximum(both, 1)


def _sets(owners: np.ndarray, values: np.ndarray, count: int) -> Sets:
    order = np.lexsort((values, owners))
    owners, values = owners[order], values[order]
    first = np.ones(len(values), dtype=bool)
    first[1:] = (owners[1:] != owners[:-1]) | (values[1:] != values[:-1])
    sizes = np.bincount(owners[first], minlength=count)
    return Sets(values[first], np.concatenate([[0], np.cumsum(sizes)]))


def _powers(count: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        base = np.full(count, np.uint64(0x9E3779B97F4A7C15), dtype=np.uint64)
        if count:
            base[0] = 1
        return np.multiply.accumulate(base)


def _mix(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser: a bijection on 64-bit words whose output bits all depend on all input bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
