"""Events: somebody does something to a thing, somewhere, at some time; and the forms in which that is said."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache

from data_prep.bundled.language.content import capitalised
from data_prep.bundled.language.tables import cell, column, table


@dataclass(frozen=True)
class Event:
    """`place` and `time` may be empty; `time_first` says the time at the beginning of the sentence."""

    agent: str
    active: str
    passive: str
    thing: str
    place: str = ""
    time: str = ""
    time_first: bool = False

    def telling(self) -> str:
        """Budi membeli beras di pasar kemarin."""
        return self._sentence(self.agent, self.active, self.thing)

    def passive_telling(self) -> str:
        """Beras dibeli oleh Budi di pasar kemarin."""
        return self._sentence(self.thing, self.passive, f"oleh {self.agent}")

    def negative(self) -> str:
        return self._sentence(self.agent, "tidak", self.active, self.thing)

    def passive_negative(self) -> str:
        return self._sentence(self.thing, "tidak", self.passive, f"oleh {self.agent}")

    def question(self) -> str:
        """Apakah Budi membeli beras di pasar kemarin?"""
        return self.at_end()._sentence("apakah", self.agent, self.active, self.thing)[:-1] + "?"

    def at_end(self) -> Event:
        return replace(self, time_first=False)

    def at_front(self) -> Event:
        return replace(self, time_first=True)

    def bare(self) -> Event:
        return replace(self, place="", time="")

    def _sentence(self, *parts: str) -> str:
        front, end = (self.time, "") if self.time_first else ("", self.time)
        return capitalised(" ".join(part for part in (front, *parts, self.place, end) if part)) + "."


@dataclass(frozen=True)
class Verb:
    active: str
    passive: str
    things: tuple[str, ...]
    places: tuple[str, ...]
    habit: bool


@cache
def verbs() -> tuple[Verb, ...]:
    return tuple(
        Verb(row["active"], row["passive"], cell(row["things"]), cell(row["places"]), row["habit"] == "yes")
        for row in table("verbs")
    )


@cache
def names() -> tuple[str, ...]:
    return column("names", "name")


def times(verb: Verb) -> tuple[str, ...]:
    """The times that go with the verb: nobody finds a purse every day."""
    return tuple(time for time in column("times", "time") if verb.habit or not time.startswith("setiap"))


def event(
    chance: random.Random,
    *,
    agent: str = "",
    verb: Verb | None = None,
    place: bool | None = None,
    time: bool | None = None,
) -> Event:
    """A random event; place and time with even odds unless said."""
    verb = verb or chance.choice(verbs())
    placed = chance.random() < 0.6 if place is None else place
    timed = chance.random() < 0.6 if time is None else time
    return Event(
        agent or chance.choice(names()),
        verb.active,
        verb.passive,
        chance.choice(verb.things),
        chance.choice(verb.places) if placed else "",
        chance.choice(times(verb)) if timed else "",
        timed and chance.random() < 0.3,
    )


def several(chance: random.Random, count: int, **wishes: bool) -> list[Event]:
    """Events whose agents, verbs and things all differ (and whose places do, where they have one)."""
    made: list[Event] = []
    agents = chance.sample(names(), count)
    for agent, verb in zip(agents, chance.sample(verbs(), count), strict=True):
        for _ in range(20):
            found = event(chance, agent=agent, verb=verb, **wishes)
            taken = {other.thing for other in made} | {other.place for other in made if other.place}
            if not {found.thing, found.place} & taken:
                break
        else:
            return several(chance, count, **wishes)
        made.append(found)
    return made
