"""Pairs that can be asked both ways, and the rows that teach one way or both (after Berglund et al. 2023, "The reversal
curse", arXiv 2309.12288; LLaDA's claim is in Nie et al. 2025, arXiv 2502.09992, section 3.3).

    capital   a province or country and its capital, from the bundled tables; the bundled base has read these facts
    pantun    two lines of the bundled pantun, put together by chance: nobody has read them together
    word      a word of an invented language and its meaning, one of the bundled opposites: nobody has read it

Half of the pairs of a kind are taught both ways, so that a question asked backwards is no stranger; the others forwards
alone. What counts is how these are answered backwards.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from data_prep.bundled.instructions.verse import lines_of, rhymes
from data_prep.bundled.language.content import generator
from data_prep.bundled.language.tables import table

KINDS = ("capital", "pantun", "word")
FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "capital": {
        "forward": ("Apa ibu kota {}?", "Sebutkan ibu kota {}."),
        "backward": ("{} adalah ibu kota apa?", "Daerah mana yang beribu kota {}?"),
    },
    "pantun": {
        "forward": ("Tuliskan baris pantun setelah baris ini.\n\n{}", "{}\n\nApa baris berikutnya?"),
        "backward": ("Tuliskan baris pantun sebelum baris ini.\n\n{}", "{}\n\nApa baris sebelumnya?"),
    },
    "word": {
        "forward": ("Apa arti kata {} dalam bahasa Rendu?", "Kata {} dalam bahasa Rendu berarti apa?"),
        "backward": ("Apa bahasa Rendu dari kata {}?", "Bagaimana orang Rendu menyebut kata {}?"),
    },
}
SYLLABLES = [f"{consonant}{vowel}" for consonant in "bdgklmnprst" for vowel in "aeiou"]


@dataclass(frozen=True)
class Pair:
    """first: what the forward question names. second: its answer. both: taught both ways."""

    kind: str
    first: str
    second: str
    both: bool

    def question(self, direction: str, form: int = 0) -> str:
        return FORMS[self.kind][direction][form].format(self.first if direction == "forward" else self.second)

    def answer(self, direction: str) -> str:
        return self.second if direction == "forward" else self.first


@dataclass(frozen=True)
class Row:
    prompt: str
    answer: str


def make_pairs(count: int, seed: int) -> list[Pair]:
    """`count` pairs of each kind at the most, no part of one in another; every second one is taught both ways."""
    made = []
    for kind, found in (("capital", _capitals()), ("pantun", _pantun(seed)), ("word", _words(seed))):
        chosen = generator(seed, "reversal", kind).sample(found, min(count, len(found)))
        made += [Pair(kind, first, second, number % 2 == 1) for number, (first, second) in enumerate(chosen)]
    return made


def training_rows(pairs: list[Pair], seed: int) -> list[Row]:
    """Every pair forwards in every form; those taught both ways backwards too. Shuffled."""
    rows = []
    for pair in pairs:
        for direction in ("forward", "backward") if pair.both else ("forward",):
            forms = range(len(FORMS[pair.kind][direction]))
            rows += [Row(pair.question(direction, form), pair.answer(direction)) for form in forms]
    generator(seed, "reversal", "rows").shuffle(rows)
    return rows


def _capitals() -> list[tuple[str, str]]:
    rows = [(row["province"], row["capital"]) for row in table("provinces")]
    rows += [(row["country"], row["capital"]) for row in table("countries")]
    capitals = [capital for _, capital in rows]
    once = [(place, capital) for place, capital in rows if capital and capitals.count(capital) == 1]
    return [(place, capital) for place, capital in once if place not in capitals]  # Jambi is the capital of Jambi


def _pantun(seed: int) -> list[tuple[str, str]]:
    chance = generator(seed, "reversal", "lines")
    pairs = []
    for rhyme in rhymes():
        hints, aims = (list(lines_of(part, rhyme)) for part in ("hint", "aim"))
        chance.shuffle(aims)
        pairs += zip(hints, aims, strict=False)
    return pairs


def _words(seed: int) -> list[tuple[str, str]]:
    chance = generator(seed, "reversal", "words")
    meanings = [word for row in table("opposites") for word in (row["first"], row["second"])]
    known, coined = set(meanings), list[str]()
    while len(coined) < len(meanings):
        word = _coin(chance)
        if word not in known:
            known.add(word)
            coined.append(word)
    return list(zip(coined, meanings, strict=True))


def _coin(chance: random.Random) -> str:
    return "".join(chance.sample(SYLLABLES, 3))
