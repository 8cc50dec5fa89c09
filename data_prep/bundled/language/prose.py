"""Plain Indonesian text for pretraining: the corpus's subjects told as prose, never as instruction and answer.

Articles use the wordings that the corpus does not use as answers, stories and sentences come from other random
numbers, and lists of questions stand without their answers, so the base knows the words and the subjects but has
not seen how to answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from babel.numbers import format_decimal
from num2words import num2words

from data_prep.bundled.instructions import articles, exercises, howto, pantun, safety_and_identity, stories
from data_prep.bundled.language import words
from data_prep.bundled.language.content import capitalised, generator
from data_prep.bundled.language.countries import weekdays


def paragraphs(rows: int, seed: int) -> list[str]:
    """Shuffled paragraphs; all articles, and other kinds in proportion to the corpus's number of rows."""
    made = [text for article in articles.articles() for text in _article(article, seed)]
    for kind, (share, maker) in _KINDS.items():
        made += [maker(generator(seed, "prose", kind, number)) for number in range(int(share * rows))]
    generator(seed, "prose").shuffle(made)
    return made


def _article(article: articles.Article, seed: int) -> list[str]:
    """Two tellings of an article in the wordings that are not answers."""
    tellings = []
    for number in range(2):
        chance = generator(seed, "prose", article.subject, number)
        sentences = []
        for part in article.parts:
            answer = article.answer(part, seed)
            sentences.append(chance.choice([text for text in part.wordings if text != answer]))
        if number:
            chance.shuffle(sentences)
        tellings.append(" ".join(sentences))
    return tellings


def _story(chance: random.Random) -> str:
    """A story, half of the time with some of its facts told once more."""
    tale = stories.story(chance)
    if chance.random() < 0.5:
        return tale.text
    again = [answer for _, answer in chance.sample(tale.questions(), 2)]
    return f"{tale.text} {' '.join(again)}"


def _sentences(chance: random.Random) -> str:
    """Events told in the active, the passive and the negative form."""
    told = []
    for _ in range(3):
        verb, agent = chance.choice(words.transitives()), chance.choice(words.AGENTS)
        thing, time = chance.choice(verb.objects), chance.choice(words.TIMES)
        active, passive = f"{agent} {verb.active} {thing}", f"{thing} {verb.passive} oleh {agent}"
        told.append(
            chance.choice((f"{active} {time}.", f"{passive} {time}.", f"{agent} tidak {verb.active} {thing} {time}."))
        )
        if chance.random() < 0.4:
            told.append(
                chance.choice((f"{passive}.", f"{active}, dan semua orang tahu hal itu.", f"Ya, {active} {time}."))
            )
    return " ".join(capitalised(text) for text in told)


def _two_languages(chance: random.Random) -> str:
    if chance.random() < 0.4:
        entry = chance.sample(words.dictionary(), 4)
        return " ".join(f'Kata "{word.english}" berarti {word.indonesian}.' for word in entry)
    pairs = [exercises.parallel_sentence(chance) for _ in range(2)]
    return " ".join(" ".join(pair if chance.random() < 0.5 else pair[::-1]) for pair in pairs)


def _numbers(chance: random.Random) -> str:
    first, second = chance.randint(1, 60), chance.randint(1, 39)
    value = chance.choice((chance.randint(11, 999), chance.randint(1000, 9999), chance.randint(1, 400) * 500))
    digits, name = format_decimal(value, locale="id"), num2words(value, lang="id")
    today, step = chance.randrange(7), chance.randint(1, 13)
    later = capitalised(num2words(step, lang="id"))
    return " ".join(
        chance.sample(
            (
                f"Jika {first} ditambah {second}, hasilnya {first + second}.",
                f"Jika {first + second} dikurangi {second}, hasilnya {first}.",
                f"Ada {digits} butir beras, yaitu {name} butir.",
                f"Harganya {name} rupiah, atau Rp{digits}.",
                f"{later} hari sesudah {weekdays()[today]} datang hari {weekdays()[(today + step) % 7]}.",
                f"Tulisan {exercises.roman_numeral(first)} pada jam tua berarti {first}.",
                f"Di kelas itu ada {first} murid, dan kelas lain memiliki {second} murid.",
            ),
            3,
        )
    )


def _vocabulary(chance: random.Random) -> str:
    told = [
        f"{capitalised(pair.word)} berlawanan dengan {pair.opposite}." for pair in chance.sample(words.opposites(), 2)
    ]
    told += [
        f"{capitalised(pair.word)} hampir sama artinya dengan {pair.synonym}."
        for pair in chance.sample(words.synonyms(), 2)
    ]
    group = chance.choice(sorted(words.word_groups()))
    members = chance.sample(words.word_groups()[group], 3)
    told.append(f"{capitalised(', '.join(members[:2]))}, dan {members[2]} adalah contoh {group}.")
    chance.shuffle(told)
    return " ".join(told[:4])


def _habit(chance: random.Random) -> str:
    """A task told of somebody."""
    task, steps = chance.choice(howto.tasks())
    chosen = [chance.choice(wordings) for wordings in steps]
    name = chance.choice(words.NAMES)
    return f"{name} sering {task}. Petunjuknya sederhana: {'; '.join(chosen)}."


def _verse(chance: random.Random) -> str:
    lines = chance.choice(pantun.pantuns()).lines
    if chance.random() < 0.5:
        return f"{lines[0]},\n{lines[1].lower()}."
    return f"Ada pesan lama: {lines[2].lower()}, {lines[3].lower()}."


def _advice(chance: random.Random) -> str:
    refused = chance.choice(safety_and_identity.refused_requests())
    return f"{refused.better} {capitalised(refused.reason)}."


def _question_list(chance: random.Random) -> str:
    """Questions and instructions as a book of exercises lists them, without answers."""
    seed = chance.getrandbits(32)
    prompts = [pair.prompt for content in exercises.contents(seed, 1) for pair in content.pairs]
    subjects = chance.sample(articles.articles(), 2)
    for article in subjects:
        part = chance.choice(article.parts)
        forms = articles.SUBSECTION_PROMPTS if part.aspect else articles.SECTION_PROMPTS
        prompts.append(chance.choice(forms).format(aspect=part.aspect, subject=article.subject))
    prompts += [chance.choice(howto.PROMPTS).format(chance.choice(howto.tasks())[0])]
    prompts += [chance.choice(pantun.TITLED_PROMPTS)[0].format(chance.choice(pantun.pantuns()).theme)]
    return " ".join(chance.sample(prompts, 3))


_KINDS: dict[str, tuple[float, Callable[[random.Random], str]]] = {
    "story": (0.12, _story),
    "sentences": (0.08, _sentences),
    "two languages": (0.08, _two_languages),
    "numbers": (0.08, _numbers),
    "vocabulary": (0.04, _vocabulary),
    "habit": (0.06, _habit),
    "verse": (0.04, _verse),
    "advice": (0.01, _advice),
    "questions": (0.05, _question_list),
}
