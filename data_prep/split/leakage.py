"""The leakage audit: does anything in the test set, or in validation, also stand on the training side?

Seven classes, from the obvious to the faint:

    content_group    the same content group (`grouping`)
    exact_pair       the same input and output
    normalised_pair  the same after NFC and white-space normalisation
    same_answer      the same answer of `answer_words` words or more (case, punctuation aside)
    shared_shingle   a run of `shingle_words` words in common, in the answers or in the inputs
    near_duplicate   Jaccard similarity of the word sets of `jaccard` or more: of the answers, if they have
    `answer_words`
                     words, or of the whole rows; found by MinHash, then computed exactly
    cosine           cosine of the embeddings of `cosine` or more, where that threshold is set

A template of `shingle_words` or more constant words of its own is taken off the inputs before shingling: it is no
content.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data_prep.config import LeakageConfig
from data_prep.rows.grouping import template_affix
from data_prep.rows.text import folded_words, normal_form
from data_prep.split.fingerprints import PAIRS_AT_ONCE, Sets, Similarity, Words, bands, signatures

CLASSES = (
    "content_group",
    "exact_pair",
    "normalised_pair",
    "same_answer",
    "shared_shingle",
    "near_duplicate",
    "cosine",
)
BLOCK = 2048


@dataclass(frozen=True)
class AuditRows:
    """The rows an audit compares, one entry per row. inputs: with the turns before them, where there are any.
    vectors: (N, D) of length 1, or None where cosine is not used."""

    groups: Sequence[str]
    templates: Sequence[str]
    inputs: Sequence[str]
    outputs: Sequence[str]
    vectors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Leak:
    """Row `held` (test or validation) and row `other` (training) share content. value: similarity, 1 for equality."""

    kind: str
    held: int
    other: int
    value: float = 1.0


class Audit:
    """Fingerprints of all rows, made once; then leaks between any two sets of them."""

    def __init__(self, rows: AuditRows, config: LeakageConfig) -> None:
        self.rows = rows
        self.config = config
        answers = Words(rows.outputs)
        inputs = Words(_shingled_inputs(rows, config.shingle_words))
        whole = Words([f"{given} {answer}" for given, answer in zip(rows.inputs, rows.outputs, strict=True)])
        long_answer = answers.lengths >= config.answer_words
        pairs = list(zip(rows.inputs, rows.outputs, strict=True))
        same_answer = np.where(long_answer, answers.whole(), np.uint64(0))
        self._keys: list[tuple[str, Sets]] = [
            ("content_group", _single([_hash(group) for group in rows.groups])),
            ("exact_pair", _single([_hash(f"{given}\0{answer}") for given, answer in pairs])),
            (
                "normalised_pair",
                _single([_hash(f"{normal_form(given)}\0{normal_form(answer)}") for given, answer in pairs]),
            ),
            ("same_answer", _single(same_answer)),
            ("shared_shingle", answers.shingles(config.shingle_words)),
            ("shared_shingle", inputs.shingles(config.shingle_words)),
        ]
        answer_sets = answers.shingles(1)
        short = np.where(long_answer, answer_sets.sizes(), 0)
        self._similar = [_only(answer_sets, short > 0), whole.shingles(1)]
        self._bands = [bands(signatures(sets)) for sets in self._similar]
        self._similarities = [Similarity(sets) for sets in self._similar]

    def leaks(self, held: np.ndarray, others: np.ndarray) -> list[Leak]:
        """Every leak between rows `held` and rows `others`: per class and held row each twin once."""
        values: dict[tuple[str, int, int], float] = {}
        for kind, sets in self._keys:
            for one, other in _joined(sets, held, others):
                values.setdefault((kind, one, other), 1.0)
        for sets, band, similarity in zip(self._similar, self._bands, self._similarities, strict=True):
            pairs = np.array(list(_candidates(band, sets.sizes() > 0, held, others)), dtype=np.int64).reshape(-1, 2)
            similar = similarity.of(pairs[:, 0], pairs[:, 1])
            near = similar >= self.config.jaccard
            for (one, other), value in zip(pairs[near].tolist(), similar[near].tolist(), strict=True):
                key = ("near_duplicate", one, other)
                values[key] = max(value, values.get(key, 0.0))
        for one, other, value in self._close(held, others):
            values["cosine", one, other] = value
        return [Leak(kind, one, other, value) for (kind, one, other), value in values.items()]

    def families(self, members: np.ndarray) -> np.ndarray:
        """A label for each of `members`: rows that leak into each other, directly or through a third, share it."""
        labels = np.arange(len(members))
        for _, sets in self._keys:
            labels = _merge(labels, _chained(sets.take(members)))
        for sets, band, similarity in zip(self._similar, self._bands, self._similarities, strict=True):
            filled = np.flatnonzero(sets.sizes()[members] > 0)
            for column in band[members].T:
                for ones, others in _bucket_pairs(column[filled], labels[filled]):
                    pairs = np.stack([filled[ones], filled[others]], axis=1)
                    pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]  # what is one family stays one
                    near = similarity.pairs_from(*members[pairs].T, self.config.jaccard)
                    labels = _merge(labels, pairs[near])
        places = np.arange(len(members))
        close = [(one, other) for one, other, _ in self._close(members, members, places)]
        return _merge(labels, np.array(close, dtype=np.int64).reshape(-1, 2))

    def _close(
        self, held: np.ndarray, others: np.ndarray, names: np.ndarray | None = None
    ) -> Iterator[tuple[int, int, float]]:
        """Pairs above the cosine threshold, under the rows' numbers or, if given, under `names` of both sides."""
        if self.config.cosine is None or self.rows.vectors is None:
            return
        for start in range(0, len(held), BLOCK):
            block = held[start : start + BLOCK]
            cosines = self.rows.vectors[block] @ self.rows.vectors[others].T  # (block, others)
            for one, other in zip(*np.nonzero(cosines >= self.config.cosine), strict=True):
                if block[one] != others[other]:
                    left, right = (block[one], others[other]) if names is None else (names[start + one], names[other])
                    yield int(left), int(right), float(cosines[one, other])


def count_leaky(leaks: Sequence[Leak]) -> dict[str, int]:
    """Held rows with a leak, per class, and in any class."""
    rows: defaultdict[str, set[int]] = defaultdict(set)
    for leak in leaks:
        rows[leak.kind].add(leak.held)
    return {**{kind: len(rows[kind]) for kind in CLASSES}, "any": len({leak.held for leak in leaks})}


def _shingled_inputs(rows: AuditRows, size: int) -> list[str]:
    by_template: defaultdict[str, list[int]] = defaultdict(list)
    for row, template in enumerate(rows.templates):
        by_template[template].append(row)
    inputs = list(rows.inputs)
    for members in by_template.values():
        if len(folded_words(inputs[members[0]])) < size:
            continue
        texts = [folded_words(rows.inputs[row]) for row in members]
        affix = template_affix(texts)
        if affix.prefix + affix.suffix >= size:
            for row, text in zip(members, texts, strict=True):
                inputs[row] = " ".join(affix.strip(text))
    return inputs


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) or 1


def _single(values: Sequence[int] | np.ndarray) -> Sets:
    """Sets of one value each; of none where it is 0."""
    array = np.asarray(values, dtype=np.uint64)
    return Sets(array[array != 0], np.concatenate([[0], np.cumsum(array != 0)]))


def _only(sets: Sets, keep: np.ndarray) -> Sets:
    """The same sets, emptied where `keep` is False."""
    owners = sets.owners()
    sizes = np.where(keep, sets.sizes(), 0)
    return Sets(sets.values[keep[owners]], np.concatenate([[0], np.cumsum(sizes)]))


def _joined(sets: Sets, held: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs (held row, other row), each once, whose sets share a value."""
    ours, theirs = sets.take(held), sets.take(others)
    common = np.isin(theirs.values, ours.values)
    if not common.any():
        return
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for value, owner in zip(ours.values.tolist(), ours.owners().tolist(), strict=True):
        holders[value].append(int(held[owner]))
    hits = np.unique(np.stack([theirs.owners()[common].astype(np.uint64), theirs.values[common]], axis=1), axis=0)
    seen: set[tuple[int, int]] = set()
    for owner, value in hits.tolist():
        for holder in holders[value]:
            pair = (holder, int(others[owner]))
            if pair[0] != pair[1] and pair not in seen:
                seen.add(pair)
                yield pair


def _candidates(band: np.ndarray, filled: np.ndarray, held: np.ndarray, others: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (held row, other row) that agree on a band."""
    held, others = held[filled[held]], others[filled[others]]
    pairs: set[tuple[int, int]] = set()
    for column in band.T:
        holders: defaultdict[int, list[int]] = defaultdict(list)
        for row in held.tolist():
            holders[int(column[row])].append(row)
        hits = others[np.isin(column[others], column[held])]
        pairs |= {(one, row) for row in hits.tolist() for one in holders[int(column[row])] if one != row}
    return pairs


def _chained(sets: Sets) -> np.ndarray:
    """(E, 2): rows that share a value, each linked to the next one that has it."""
    owners = sets.owners()
    order = np.argsort(sets.values, kind="stable")
    equal = sets.values[order][1:] == sets.values[order][:-1]
    return np.stack([owners[order][:-1][equal], owners[order][1:][equal]], axis=1)


def _bucket_pairs(column: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows in one bucket of a band, each once, some PAIRS_AT_ONCE at a time; of buckets that hold more than
    one family."""
    rows = np.argsort(column, kind="stable")
    buckets = np.cumsum(np.diff(column[rows], prepend=column[rows][:1]) != 0)
    mixed = np.flatnonzero((np.diff(buckets) == 0) & (np.diff(labels[rows]) != 0))  # neighbours of two families
    rows, buckets = (array[np.isin(buckets, buckets[mixed])] for array in (rows, buckets))
    ends = np.searchsorted(buckets, buckets, side="right")
    partners = ends - np.arange(len(rows)) - 1  # of each row: those after it in its bucket
    chunks = np.cumsum(partners) // PAIRS_AT_ONCE
    for own in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(chunks)) + 1):
        ones = np.repeat(own, partners[own])
        within = np.arange(len(ones)) - np.repeat(np.cumsum(partners[own]) - partners[own], partners[own])
        yield rows[ones], rows[ones + 1 + within]


def _merge(labels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Labels after joining the rows of each edge (E, 2)."""
    if len(edges) == 0:
        return labels
    size = int(labels.max()) + 1
    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_array((ones, (labels[edges[:, 0]], labels[edges[:, 1]])), (size, size))
    return connected_components(graph, directed=False)[1][labels]
