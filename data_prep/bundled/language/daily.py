"""Daily life: dishes, occupations, tools, places, instruments. Small tables, each fact beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.bundled.language.word_tables import table


@dataclass(frozen=True)
class Dish:
    name: str
    ingredient: str
    kind: str  # what it is: "masakan khas Sumatera Barat"
    feature: str  # taste or way of serving, a predicate


@dataclass(frozen=True)
class Occupation:
    name: str
    task: str
    place: str


@dataclass(frozen=True)
class Tool:
    name: str
    purpose: str  # after "untuk"
    place: str


@dataclass(frozen=True)
class Place:
    name: str
    activity: str


@dataclass(frozen=True)
class Instrument:
    name: str
    region: str | None
    played: str


def dishes() -> tuple[Dish, ...]:
    return table("dishes", Dish)


def occupations() -> tuple[Occupation, ...]:
    return table("occupations", Occupation)


def tools() -> tuple[Tool, ...]:
    return table("tools", Tool)


def places() -> tuple[Place, ...]:
    return table("places", Place)


def instruments() -> tuple[Instrument, ...]:
    return table("instruments", Instrument)
