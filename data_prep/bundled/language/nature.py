"""Animals, fruits, vegetables, planets and chemical elements: small tables of facts that are beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.bundled.language.word_tables import table


@dataclass(frozen=True)
class Animal:
    name: str
    kind: str  # mamalia, burung, reptil, amfibi, ikan, serangga
    diet: str  # herbivora, karnivora, omnivora
    food: str
    habitat: str
    feature: str  # a predicate: "memiliki belalai yang panjang"


@dataclass(frozen=True)
class Fruit:
    name: str
    colour: str  # of the ripe skin
    taste: str
    plant: str  # where it grows


@dataclass(frozen=True)
class Vegetable:
    name: str
    part: str  # that is eaten
    colour: str


@dataclass(frozen=True)
class Planet:
    name: str
    position: int  # from the Sun, from 1
    feature: str


@dataclass(frozen=True)
class Element:
    name: str
    symbol: str
    number: int


def animals() -> tuple[Animal, ...]:
    return table("animals", Animal)


def fruits() -> tuple[Fruit, ...]:
    return table("fruits", Fruit)


def vegetables() -> tuple[Vegetable, ...]:
    return table("vegetables", Vegetable)


def planets() -> tuple[Planet, ...]:
    return table("planets", Planet)


def elements() -> tuple[Element, ...]:
    return table("elements", Element)
