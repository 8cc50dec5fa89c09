"""Plain text under headings: a text, and notes on it, each under the heading that names its subject.

A heading asks nothing, as in a notebook or an encyclopedia. It makes what follows certain, so the base learns to find
the one fact meant among several; that a question means the same, and that an answer ends, is left to adaptation.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from data_prep.bundled.instructions import articles, exercises, steps, verse
from data_prep.bundled.language.content import capitalised
from data_prep.bundled.language.events import event, names
from data_prep.bundled.language.stories import people_named, story
from data_prep.bundled.language.tables import table

Note = tuple[str, str]
"""A heading and what stands under it."""
Notes = tuple[str, list[Note]]
"""A text (empty where the notes stand alone), and notes on it."""


def document(chance: random.Random) -> tuple[str, str]:
    """Beginning and continuation: the text with the first heading, before or behind it; what stands under it, and
    the other notes.
    """
    return _document(chance, KINDS, (1, 2, 2, 3))


def exercise(chance: random.Random) -> tuple[str, str]:
    """The same with fewer notes to a text, and more of the kinds in which much has to be copied or compared."""
    return _document(chance, HARDER, (1, 1, 1, 2))


def _document(chance: random.Random, kinds: Kinds, counts: tuple[int, ...]) -> tuple[str, str]:
    maker = chance.choices([maker for _, maker in kinds], [weight for weight, _ in kinds])[0]
    text, notes = maker(chance)
    end = chance.choice(("", ":"))
    (heading, told), *others = chance.sample(notes, min(len(notes), chance.choice(counts)))
    begin = heading + end
    if text:
        begin = f"{begin}\n\n{text}" if chance.random() < 0.5 else f"{text}\n\n{begin}"
    return begin, "\n\n".join([told, *(f"{other}{end}\n{note}" for other, note in others)])


def on_story(chance: random.Random) -> Notes:
    tale = story(chance)
    notes = list(tale.headed)
    if tale.summary:
        notes.append(("Ringkasan", tale.summary))
    if tale.people:
        notes.append(("Nama orang", people_named(tale) + "."))
    return tale.text, notes


def on_article(chance: random.Random) -> Notes:
    found = articles.subject(chance)
    if chance.random() < 0.6:
        notes = [(f"Catatan {field}", f"{capitalised(field)}: {value}.") for field, value in found.fields]
        return found.data, [*notes, ("Paragraf", found.article)]
    name = dict(found.fields)["nama"]
    return found.article, [(f"{capitalised(field)} {name}", answer) for field, _, answer, _ in found.asked]


def on_event(chance: random.Random) -> Notes:
    one = event(chance)
    if chance.random() < 0.4:
        return one.passive_telling(), [("Kalimat aktif", one.telling()), ("Kalimat tanya", one.question())]
    notes = [("Kalimat pasif", one.passive_telling()), ("Kalimat tanya", one.question())]
    if one.time:
        notes.append(("Waktu di depan", one.at_front().telling()))
    return one.at_end().telling(), notes


def on_pair(chance: random.Random) -> Notes:
    task = exercises.joining(chance)[0]
    return task.prompt.split(":", 1)[-1].split("\n\n")[-1].strip(), [("Kalimat gabungan", task.answer)]


def on_list(chance: random.Random) -> Notes:
    items = exercises.some_things(chance, chance.choice((3, 4)))
    notes = [
        ("Urutan pertama", f"Kata pertama adalah {items[0]}."),
        ("Urutan akhir", f"Kata terakhir adalah {items[-1]}."),
    ]
    return ", ".join(items), notes


def on_group(chance: random.Random) -> Notes:
    group, other = chance.sample(sorted(exercises.groups()), 2)
    items = chance.sample(exercises.groups()[group], 3)
    odd = chance.choice(exercises.groups()[other])
    notes = [
        (f"Selain {group}", f"{capitalised(odd)} bukan {group}."),
        (f"Satu {group}", f"{capitalised(items[0])} adalah {group}."),
    ]
    items.insert(chance.randrange(4), odd)
    return ", ".join(items), notes


def on_sum(chance: random.Random) -> Notes:
    task = exercises.sums(chance)[0]
    return task.prompt.split("\n\n")[-1].split(" Berapa ")[0], [("Jumlah sekarang", task.answer)]


def on_comparison(chance: random.Random) -> Notes:
    row = chance.choice(table("comparisons"))
    one, other = (f"{row['thing']} {name}".strip() for name in chance.sample(names(), 2))
    up, down = row["more"], row["less"]
    text = chance.choice((f"{one} lebih {up} daripada {other}.", f"{other} lebih {down} daripada {one}."))
    notes = [(f"Yang lebih {word}", f"{capitalised(who)} lebih {word}.") for who, word in ((one, up), (other, down))]
    return capitalised(text), notes


def on_verse(chance: random.Random) -> Notes:
    found = verse.pantun(chance)
    return found.text, [("Dua baris awal", found.hint), ("Dua baris akhir", found.meaning)]


def on_steps(chance: random.Random) -> Notes:
    _, found = steps.steps_of(chance)
    if chance.random() < 0.25:
        return steps.numbered(found), [("Paragraf", steps.paragraph(found))]
    place = chance.randrange(len(found) - 1)
    return steps.told(found, chance), [
        ("Daftar", steps.numbered(found)),
        ("Langkah awal", f"Langkah pertama: {found[0]}."),
        ("Langkah akhir", f"Langkah terakhir: {found[-1]}."),
        (f'Sesudah "{found[place]}"', f"Langkah berikutnya: {found[place + 1]}."),
    ]


def on_facts(chance: random.Random) -> Notes:
    """The closed facts under headings alone: what follows is known, not read."""
    country, harm = chance.choice(table("countries")), chance.choice(table("harms"))
    row = chance.choice([row for row in table("provinces") if row["capital"] and row["island"]])
    place, capital, island = row["province"], row["capital"], row["island"]
    pair = chance.choice(table("opposites"))
    one, other = chance.sample((pair["first"], pair["second"]), 2)
    return "", [
        (f"Ibu kota {country['country']}", f"Ibu kota negara {country['country']} ialah {country['capital']}."),
        (f"Ibu kota {place}", f"Ibu kota Provinsi {place} ialah {capital}."),
        (f"Provinsi dengan ibu kota {capital}", f"Kota {capital} menjadi ibu kota {place}."),
        (f"Letak {place}", f"{place} berada di {island}."),
        (f"Lawan {one}", f"Kata {one} berlawanan dengan kata {other}."),
        (f"Soal {harm['act']}", f"Kita tidak boleh {harm['act']} karena perbuatan itu {harm['reason']}."),
    ]


Kinds = tuple[tuple[int, Callable[[random.Random], Notes]], ...]
KINDS: Kinds = (
    (30, on_story),
    (14, on_article),
    (10, on_event),
    (3, on_pair),
    (4, on_list),
    (4, on_group),
    (3, on_sum),
    (3, on_comparison),
    (8, on_verse),
    (10, on_steps),
    (11, on_facts),
)
HARDER: Kinds = (
    (32, on_story),
    (10, on_article),
    (8, on_event),
    (7, on_pair),
    (2, on_list),
    (6, on_group),
    (7, on_comparison),
    (11, on_verse),
    (16, on_steps),
    (8, on_facts),
)
"""Without sums, which no row asks for."""
