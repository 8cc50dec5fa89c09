"""Content groups: rows that say the same thing and must stay on one side of a split.

Cendol asks for the same poem through twenty templates and for the same article section through five, so rows that
differ as text carry one content. Rows are joined (connected components) when they share one of these keys:

- the normalised pair (copies);
- a text of eight words or more, after the template's own words are taken off: the answer, the input, or a paragraph
  of the input. It is the same key wherever it stands, so the poem that one template puts into the question and
  another into the answer, behind "Nih, ada puisi yang bisa bermakna:", joins them;
- what the question asks for, if shorter: the input without the template's own words, within one subset.

Two things do not join, because they carry no content and would glue a subset into one group: an answer of fewer than
eight words ("Jepang", "Pantun Cinta"), and a constant, that is a text which a template repeats on a sizeable share
of its rows with ever different counterparts (the ten constant indo_puisi prompts; "Maaf, jawaban ... tidak
ditemukan", the answer of 40% of the reading questions). That a canned answer stands on both sides is still a leak:
the audit (`leakage`), which knows no constants, decides on which side it stays.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from data_prep.rows.text import folded_words, normal_form

LONG = 8
"""Words from which on a text stands for its content (the audit's default `answer_words`)."""
TEMPLATE_SHARE = 0.95
"""A word belongs to the template if at least this share of the template's rows has it in that place."""
TEMPLATE_ROWS = 5
"""Below so many rows a template's own words cannot be told from the content."""
CONSTANT_COUNTERPARTS = 8
CONSTANT_SHARE = 0.02
"""A key with more distinct counterparts than this, on more than this share of its template's rows, is a constant."""


@dataclass(frozen=True)
class Affix:
    """Number of words at the start and at the end of a text that are the template's own."""

    prefix: int
    suffix: int

    def strip(self, text: list[str]) -> list[str]:
        return text[self.prefix : max(self.prefix, len(text) - self.suffix)]


@contextmanager
def _cycles_left_alone() -> Iterator[None]:
    """Millions of lists of words arise here and no cycle among them: looking for cycles doubled the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@_cycles_left_alone()
def content_groups(
    ids: Sequence[str],
    subsets: Sequence[str],
    templates: Sequence[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> list[str]:
    """The group of each row, named after the smallest id in it. All sequences have one entry per row."""
    stems = [f"{subset}\0{template}" for subset, template in zip(subsets, templates, strict=True)]
    input_words = [folded_words(text) for text in inputs]
    output_words = [folded_words(text) for text in outputs]
    questions = _without_template(stems, input_words)
    contents = _without_template(stems, output_words)
    asked = [_question_keys(*row) for row in zip(subsets, inputs, questions, strict=True)]
    answered = [
        {_text_key(text) for text in texts if len(text) >= LONG} for texts in zip(output_words, contents, strict=True)
    ]
    constant_questions = _constant_keys(stems, asked, outputs)
    constant_answers = _constant_keys(stems, answered, inputs)
    rows, keys = [], []
    numbers: defaultdict[str, int] = defaultdict(lambda: len(numbers))
    for row, stem in enumerate(stems):
        own = {f"pair\0{normal_form(inputs[row])}\0{normal_form(outputs[row])}"}
        own |= (asked[row] - constant_questions[stem]) | (answered[row] - constant_answers[stem])
        rows.extend([row] * len(own))
        keys.extend(numbers[key] for key in own)
    return _name_components(ids, rows, keys, len(numbers))


def _question_keys(subset: str, given: str, question: list[str]) -> set[str]:
    """What the input asks about: the input without its template, and each long paragraph in it (a passage to read)."""
    keys = set()
    if question:
        keys.add(_text_key(question) if len(question) >= LONG else f"question\0{subset}\0" + " ".join(question))
    if "\n" in given:
        paragraphs = (folded_words(line) for line in given.split("\n"))
        keys |= {_text_key(text) for text in paragraphs if len(text) >= LONG}
    return keys


def _text_key(text: list[str]) -> str:
    return "text\0" + " ".join(text)


def _without_template(stems: Sequence[str], texts: Sequence[list[str]]) -> list[list[str]]:
    by_stem: defaultdict[str, list[list[str]]] = defaultdict(list)
    for stem, text in zip(stems, texts, strict=True):
        by_stem[stem].append(text)
    affixes = {stem: template_affix(members) for stem, members in by_stem.items()}
    return [affixes[stem].strip(text) for stem, text in zip(stems, texts, strict=True)]


def template_affix(texts: Sequence[list[str]]) -> Affix:
    """The words that (nearly) all texts of one template begin with, and end with."""
    if len(texts) < TEMPLATE_ROWS:
        return Affix(0, 0)
    prefix = _shared_start(texts)
    rest = [text[prefix:][::-1] for text in texts]
    return Affix(prefix, _shared_start(rest))


def _shared_start(texts: Sequence[list[str]]) -> int:
    needed = TEMPLATE_SHARE * len(texts)
    alive = list(texts)
    for length in range(max(map(len, texts), default=0)):
        counts = Counter(text[length] for text in alive if len(text) > length)
        word, count = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if count < needed:
            return length
        alive = [text for text in alive if len(text) > length and text[length] == word]
    return max(map(len, texts), default=0)


def _constant_keys(
    stems: Sequence[str], keys: Sequence[set[str]], counterparts: Sequence[str]
) -> defaultdict[str, set[str]]:
    """Per template, the keys that carry no content: many distinct counterparts, and a sizeable share of the rows."""
    sizes = Counter(stems)
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    rows: Counter[tuple[str, str]] = Counter()
    for stem, of_row, counterpart in zip(stems, keys, counterparts, strict=True):
        for key in of_row:
            seen[stem, key].add(counterpart)
            rows[stem, key] += 1
    constants: defaultdict[str, set[str]] = defaultdict(set)
    for (stem, key), distinct in seen.items():
        if len(distinct) > CONSTANT_COUNTERPARTS and rows[stem, key] > CONSTANT_SHARE * sizes[stem]:
            constants[stem].add(key)
    return constants


def _name_components(ids: Sequence[str], rows: list[int], keys: list[int], key_count: int) -> list[str]:
    """Components of the graph rows - keys, each named after its smallest row id."""
    size = len(ids) + key_count
    edges = csr_array(
        (np.ones(len(rows), dtype=np.int8), (rows, np.asarray(keys, dtype=np.int64) + len(ids))), (size, size)
    )
    _, labels = connected_components(edges, directed=False)
    names: dict[int, str] = {}
    for identity, label in zip(ids, labels[: len(ids)].tolist(), strict=True):
        names[label] = min(identity, names.get(label, identity))
    return [names[label] for label in labels[: len(ids)].tolist()]
