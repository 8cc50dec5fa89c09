"""Stories of two to four sentences, what can be asked about them, and the same facts told once more."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from data_prep.bundled.language.content import WEEKDAYS, capitalised, listed
from data_prep.bundled.language.events import names, several
from data_prep.bundled.language.tables import column, members, table

NUMBERS = ("dua", "tiga", "empat", "lima", "enam", "tujuh", "delapan")


@dataclass(frozen=True)
class Question:
    """kind: who | what | where | when | how | how_many | yes_no. `required` and `forbidden` as in `Task`."""

    kind: str
    text: str
    answer: str
    required: tuple[str, ...]
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """`retold` says each fact once more, in a wording of its own; `headed` are headings with what stands under them;
    `summary` is empty where there is no single one.
    """

    text: str
    questions: tuple[Question, ...]
    retold: tuple[str, ...]
    summary: str = ""
    people: tuple[str, ...] = ()
    headed: tuple[tuple[str, str], ...] = ()


def story(chance: random.Random) -> Story:
    return chance.choice(_MAKERS)(chance)


def errand(chance: random.Random) -> Story:
    hero, friend = chance.sample(names(), 2)
    trip = chance.choice(table("errands"))
    place, purpose, thing = trip["place"], trip["purpose"], trip["asked"]
    day, ride = chance.choice(WEEKDAYS), chance.choice(column("rides", "ride"))
    text = chance.choice(
        (
            f"Pada hari {day} {hero} pergi ke {place} bersama {friend}. Mereka naik {ride}. Di sana {hero} {purpose}.",
            f"{hero} pergi ke {place} pada hari {day}. Ia naik {ride} bersama {friend}. {hero} ingin {purpose}.",
            f"Hari {day} {hero} mengajak {friend} ke {place}. Mereka pergi naik {ride}. {hero} hendak {purpose}.",
            f"{hero} hendak {purpose}. Ia pergi ke {place} naik {ride} pada hari {day}. {friend} ikut bersamanya.",
        )
    )
    questions = (
        Question("where", f"Ke mana {hero} pergi?", f"{hero} pergi ke {place}.", (place,)),
        Question("who", f"Bersama siapa {hero} pergi?", f"{hero} pergi bersama {friend}.", (f"bersama {friend}",)),
        Question("how", f"Naik apa {hero} pergi?", f"{hero} pergi naik {ride}.", (f"naik {ride}",)),
        Question("what", f"Untuk apa {hero} pergi ke {place}?", f"{hero} pergi untuk {purpose}.", (purpose,)),
        Question("when", f"Pada hari apa {hero} pergi?", f"{hero} pergi pada hari {day}.", (day,)),
    )
    retold = (
        f"Tempat yang dituju {hero} ialah {place}.",
        f"{friend} menemani {hero}.",
        f"Kendaraan mereka ialah {ride}.",
        f"Tujuan {hero} ialah {purpose}.",
        f"Perjalanan itu terjadi pada hari {day}.",
        f"{hero} pergi ke {place}.",
        f"{hero} pergi bersama {friend}.",
        f"{hero} pergi naik {ride}.",
        f"{hero} pergi untuk {purpose}.",
        f"{hero} pergi pada hari {day}.",
        f"Di {place} itu dicari {thing}." if purpose.startswith("membeli") else f"{hero} dan {friend} pergi bersama.",
    )
    headed = (
        ("Tempat tujuan", f"{hero} pergi ke {place}."),
        ("Teman perjalanan", f"{hero} pergi bersama {friend}."),
        ("Kendaraan", f"{hero} pergi naik {ride}."),
        ("Maksud perjalanan", f"{hero} pergi untuk {purpose}."),
        ("Hari perjalanan", f"{hero} pergi pada hari {day}."),
    )
    summary = f"{hero} dan {friend} pergi ke {place} untuk {purpose}."
    return Story(text, questions, retold, summary, (hero, friend), headed)


def deeds(chance: random.Random) -> Story:
    events = several(chance, chance.choice((2, 3, 3)), place=True, time=False)
    text = " ".join(one.telling() for one in events)
    people = tuple(one.agent for one in events)
    questions: list[Question] = []
    retold: list[str] = []
    headed: list[tuple[str, str]] = []
    for number, one in enumerate(events):
        others = [other for other in events if other is not one]
        deed = f"{one.active} {one.thing}"
        agents, things = tuple(other.agent for other in others), tuple(other.thing for other in others)
        places = tuple(other.place for other in others)
        other = events[(number + 1) % len(events)]
        questions += [
            Question("who", f"Siapa yang {deed}?", f"Yang {deed} adalah {one.agent}.", (one.agent,), agents),
            Question("what", f"Apa yang {one.passive} oleh {one.agent}?", f"{one.agent} {deed}.", (one.thing,), things),
            Question("what", f"Apa yang dilakukan {one.agent}?", f"{one.agent} {deed}.", (deed,), things),
            Question("where", f"Di mana {one.agent} {deed}?", f"{one.agent} {deed} {one.place}.", (one.place,), places),
            Question("yes_no", f"Apakah {one.agent} {deed}?", f"Ya, {one.agent} {deed}.", ("ya", deed)),
            Question(
                "yes_no",
                f"Apakah {one.agent} {other.active} {other.thing}?",
                f"Tidak, {one.agent} {deed}.",
                ("tidak", deed),
            ),
        ]
        retold += [
            f"Yang {deed} adalah {one.agent}.",
            f"{one.agent} {deed}.",
            f"{capitalised(one.thing)} itu {one.passive} oleh {one.agent}.",
            f"{one.agent} berada {one.place}.",
            f"{one.agent} {deed} {one.place}.",
            f"{one.agent} tidak {other.active} {other.thing}, tetapi {deed}.",
        ]
        headed += [
            (one.agent, f"{one.agent} {deed}."),
            (capitalised(deed), f"Yang {deed} adalah {one.agent}."),
            (f"Tempat {one.agent}", f"{one.agent} {deed} {one.place}."),
            (f"Kabar bahwa {one.agent} {deed}", f"Ya, {one.agent} {deed}."),
            (f"Kabar bahwa {one.agent} {other.active} {other.thing}", f"Tidak, {one.agent} {deed}."),
        ]
    return Story(text, tuple(questions), tuple(retold), people=people, headed=tuple(headed))


def gifts(chance: random.Random) -> Story:
    givers = chance.sample(names(), 4)
    pairs = ((givers[0], givers[1]), (givers[2], givers[3]))
    things = chance.sample(("buku", "tas", "topi", "bola", "payung", "pensil", "kue", "roti", "bunga", "kunci"), 2)
    told, questions, retold, headed = [], [], [], []
    for (giver, taker), thing, other in zip(pairs, things, reversed(things), strict=True):
        told.append(
            chance.choice((f"{giver} memberikan {thing} kepada {taker}.", f"{taker} menerima {thing} dari {giver}."))
        )
        strangers = tuple(name for name in givers if name not in (giver, taker))
        questions += [
            Question(
                "who",
                f"Kepada siapa {giver} memberikan {thing}?",
                f"{giver} memberikan {thing} kepada {taker}.",
                (f"kepada {taker}",),
                strangers,
            ),
            Question(
                "who",
                f"Siapa yang memberikan {thing}?",
                f"Yang memberikan {thing} adalah {giver}.",
                (giver,),
                (*strangers, taker),
            ),
            Question(
                "who",
                f"Siapa yang menerima {thing}?",
                f"Yang menerima {thing} adalah {taker}.",
                (taker,),
                (*strangers, giver),
            ),
            Question("what", f"Apa yang diterima {taker}?", f"{taker} menerima {thing}.", (thing,), (other,)),
        ]
        retold += [
            f"{giver} memberikan {thing} kepada {taker}.",
            f"{taker} menerima {thing} dari {giver}.",
            f"Yang memberikan {thing} adalah {giver}.",
            f"Yang menerima {thing} adalah {taker}.",
            f"{taker} menerima {thing}.",
            f"Sekarang {thing} itu milik {taker}.",
        ]
        headed += [
            (f"Penerima {thing}", f"Yang menerima {thing} adalah {taker}."),
            (f"Pemberi {thing}", f"Yang memberikan {thing} adalah {giver}."),
            (f"Hadiah untuk {taker}", f"{taker} menerima {thing}."),
            (f"Hadiah dari {giver}", f"{giver} memberikan {thing} kepada {taker}."),
        ]
    if chance.random() < 0.5:
        told.reverse()
    return Story(" ".join(told), tuple(questions), tuple(retold), people=tuple(givers), headed=tuple(headed))


def places_of_things(chance: random.Random) -> Story:
    count = chance.choice((2, 3, 3))
    owners = chance.sample(names(), count)
    things = chance.sample(("kunci", "topi", "buku", "tas", "payung", "dompet", "bola", "sepatu", "pensil"), count)
    spots = chance.sample(("di laci", "di lemari", "di meja", "di teras", "di kamar", "di dapur", "di mobil"), count)
    told, questions, retold, headed = [], [], [], []
    for owner, thing, spot in zip(owners, things, spots, strict=True):
        other_spots = tuple(other for other in spots if other != spot)
        other_things = tuple(other for other in things if other != thing)
        told.append(chance.choice((f"{capitalised(thing)} {owner} ada {spot}.", f"{owner} menaruh {thing} {spot}.")))
        questions += [
            Question(
                "where", f"Di mana {thing} {owner}?", f"{capitalised(thing)} {owner} ada {spot}.", (spot,), other_spots
            ),
            Question(
                "what", f"Apa yang ada {spot}?", f"Yang ada {spot} adalah {thing} {owner}.", (thing,), other_things
            ),
        ]
        retold += [
            f"{capitalised(thing)} {owner} ada {spot}.",
            f"Yang ada {spot} adalah {thing} {owner}.",
            f"{capitalised(spot)} terdapat {thing}.",
            f"{owner} dapat mencari {thing} {spot}.",
        ]
        headed += [
            (f"Letak {thing} {owner}", f"{capitalised(thing)} {owner} ada {spot}."),
            (f"Benda {spot}", f"Yang ada {spot} adalah {thing} {owner}."),
        ]
    return Story(" ".join(told), tuple(questions), tuple(retold), people=tuple(owners), headed=tuple(headed))


def belongings(chance: random.Random) -> Story:
    count = chance.choice((2, 3))
    owners = chance.sample(names(), count)
    things = chance.sample(("kucing", "kelinci", "kambing", "ayam", "buku", "topi", "bola", "tas", "pensil"), count)
    amounts = chance.sample(NUMBERS, count)
    told, questions, retold, headed = [], [], [], []
    for owner, thing, amount in zip(owners, things, amounts, strict=True):
        other_owners = tuple(name for name in owners if name != owner)
        other_amounts = tuple(number for number in amounts if number != amount)
        told.append(f"{owner} mempunyai {amount} {thing}.")
        questions += [
            Question(
                "how_many", f"Berapa {thing} {owner}?", f"{owner} mempunyai {amount} {thing}.", (amount,), other_amounts
            ),
            Question(
                "who",
                f"Siapa yang mempunyai {thing}?",
                f"Yang mempunyai {thing} adalah {owner}.",
                (owner,),
                other_owners,
            ),
            Question(
                "what",
                f"Apa yang dimiliki {owner}?",
                f"{owner} mempunyai {amount} {thing}.",
                (thing,),
                tuple(other for other in things if other != thing),
            ),
        ]
        retold += [
            f"Jumlah {thing} {owner} ialah {amount}.",
            f"Yang mempunyai {thing} adalah {owner}.",
            f"{owner} mempunyai {amount} {thing}.",
            f"{capitalised(thing)} itu milik {owner}.",
        ]
        headed += [
            (f"Jumlah {thing} {owner}", f"{owner} mempunyai {amount} {thing}."),
            (f"Pemilik {thing}", f"Yang mempunyai {thing} adalah {owner}."),
            (f"Harta {owner}", f"{owner} mempunyai {amount} {thing}."),
        ]
    return Story(" ".join(told), tuple(questions), tuple(retold), people=tuple(owners), headed=tuple(headed))


def colours(chance: random.Random) -> Story:
    count = chance.choice((2, 3, 3))
    owners = chance.sample(names(), count)
    shades = chance.sample(members("warna"), count)
    things = chance.sample(("tas", "topi", "baju", "payung", "sepeda", "mobil", "rumah", "bola"), count)
    told, questions, retold, headed = [], [], [], []
    for owner, thing, shade in zip(owners, things, shades, strict=True):
        other_shades = tuple(other for other in shades if other != shade)
        told.append(
            chance.choice((f"{capitalised(thing)} {owner} berwarna {shade}.", f"{owner} mempunyai {thing} {shade}."))
        )
        questions += [
            Question(
                "what",
                f"Apa warna {thing} {owner}?",
                f"{capitalised(thing)} {owner} berwarna {shade}.",
                (shade,),
                other_shades,
            ),
            Question(
                "who",
                f"Siapa yang mempunyai {thing} {shade}?",
                f"Yang mempunyai {thing} {shade} adalah {owner}.",
                (owner,),
                tuple(name for name in owners if name != owner),
            ),
        ]
        retold += [
            f"Warna {thing} {owner} ialah {shade}.",
            f"{capitalised(thing)} {owner} berwarna {shade}.",
            f"Yang mempunyai {thing} {shade} adalah {owner}.",
            f"Pemilik {thing} {shade} itu bernama {owner}.",
        ]
        headed += [
            (f"Warna {thing} {owner}", f"{capitalised(thing)} {owner} berwarna {shade}."),
            (f"Pemilik {thing} {shade}", f"Yang mempunyai {thing} {shade} adalah {owner}."),
        ]
    return Story(" ".join(told), tuple(questions), tuple(retold), people=tuple(owners), headed=tuple(headed))


_MAKERS: tuple[Callable[[random.Random], Story], ...] = (
    errand,
    errand,
    deeds,
    deeds,
    gifts,
    places_of_things,
    belongings,
    colours,
)


def people_named(story: Story) -> str:
    """Budi, Siti, dan Andi (in the order in which the text names them)."""
    return listed(sorted(story.people, key=story.text.index))
