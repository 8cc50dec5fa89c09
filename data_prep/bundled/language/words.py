"""Word lists: opposites, synonyms, English equivalents, groups of words, names, and the small grammar of everyday
sentences. The lists stand in `tables/`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from data_prep.bundled.language.word_tables import column, table

NAMES = column("names")
AGENTS = ("Ibu", "Ayah", "Kakak", "Adik", "Paman", "Bibi", "Nenek", "Kakek", *NAMES[:24])
TIMES = column("times")


@dataclass(frozen=True)
class Opposites:
    word: str
    opposite: str


@dataclass(frozen=True)
class Synonyms:
    word: str
    synonym: str


@dataclass(frozen=True)
class Membership:
    """A word and the group of words it belongs to."""

    group: str
    word: str


@dataclass(frozen=True)
class Translation:
    """A word or phrase in both languages."""

    indonesian: str
    english: str


@dataclass(frozen=True)
class Action:
    """An Indonesian verb phrase and the English one, as present participle and as bare infinitive."""

    indonesian: str
    participle: str
    infinitive: str


@dataclass(frozen=True)
class Transitive:
    """A verb with its passive and the objects it goes with; its agents are people."""

    active: str
    passive: str
    objects: tuple[str, ...]


def opposites() -> tuple[Opposites, ...]:
    return table("opposites", Opposites)


def synonyms() -> tuple[Synonyms, ...]:
    return table("synonyms", Synonyms)


@cache
def word_groups() -> dict[str, tuple[str, ...]]:
    """The words of each group, by its name."""
    groups: dict[str, list[str]] = {}
    for entry in table("word_groups", Membership):
        groups.setdefault(entry.group, []).append(entry.word)
    return {group: tuple(members) for group, members in groups.items()}


def dictionary() -> tuple[Translation, ...]:
    return table("dictionary", Translation)


def translated_subjects() -> tuple[Translation, ...]:
    return table("translated_subjects", Translation)


def translated_actions() -> tuple[Action, ...]:
    return table("translated_actions", Action)


def translated_places() -> tuple[Translation, ...]:
    return table("translated_places", Translation)


def translated_times() -> tuple[Translation, ...]:
    """Times in the future."""
    return table("translated_times", Translation)


def transitives() -> tuple[Transitive, ...]:
    return table("verbs", Transitive)
