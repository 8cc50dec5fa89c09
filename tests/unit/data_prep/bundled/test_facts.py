"""The bundled corpus states facts: each is compared with CLDR, num2words, the calendar or plain arithmetic."""

from __future__ import annotations

import calendar
import re
from datetime import date

import pytest
from babel import Locale
from babel.languages import get_territory_language_info
from num2words import num2words

from data_prep.bundled.instructions import articles, exercises, pantun, stories
from data_prep.bundled.language import countries, nature, words
from data_prep.bundled.language.content import generator

CLDR = Locale("id")


def test_every_country_is_a_territory_of_cldr_with_a_capital() -> None:
    every = countries.countries()
    assert len(every) > 130
    assert len({country.code for country in every}) == len(every)
    for country in every:
        assert country.code in CLDR.territories
        assert country.capital[0].isupper()


def test_official_languages_agree_with_cldr() -> None:
    for country in countries.countries():
        if country.language is not None:
            official = {
                "bahasa " + countries.language_name(code.split("_")[0])
                for code, facts in get_territory_language_info(country.code).items()
                if facts["official_status"] in ("official", "de_facto_official")
            }
            assert country.language in official, country.name


def test_currency_names_and_codes_agree_with_cldr() -> None:
    for country in countries.countries():
        if country.currency is not None:
            assert country.currency.lower() == str(CLDR.currencies[country.currency_code]).lower()


def test_provinces_have_distinct_capitals() -> None:
    every = countries.provinces()
    assert len({province.capital for province in every}) == len(every) == 33


def test_elements_are_in_order_of_their_numbers_with_distinct_symbols() -> None:
    every = nature.elements()
    numbers = [element.number for element in every]
    assert numbers == sorted(numbers)
    assert len({element.symbol for element in every}) == len(every)


def test_year_articles_agree_with_the_calendar() -> None:
    days = [str(CLDR.days["format"]["wide"][number]) for number in range(7)]
    seen = 0
    for text in wordings("tahun "):
        match = re.search(r"\b(19\d\d|20\d\d)\b", text)
        assert match is not None
        year = int(match[1])
        if "kabisat" in text or "tahun biasa" in text:
            assert ("kabisat" in text) == calendar.isleap(year)
        begins = re.search(r"(?:dimulai pada|diawali) hari (\w+)", text)
        if begins:
            assert begins[1] == days[date(year, 1, 1).weekday()]
            seen += 1
    assert seen > 300


def test_date_articles_count_the_days_of_a_common_year() -> None:
    months = [str(CLDR.months["format"]["wide"][number]) for number in range(1, 13)]
    texts = [text for text in wordings("tanggal ") if "hari ke-" in text]
    assert len(texts) > 300
    for text in texts:
        match = re.search(r"(\d+) (" + "|".join(months) + r")\b", text, re.IGNORECASE)
        number = re.search(r"hari ke-(\d+)", text)
        assert match is not None
        assert number is not None
        day = date(2023, [name.lower() for name in months].index(match[2].lower()) + 1, int(match[1]))
        assert day.timetuple().tm_yday == int(number[1])


def test_number_articles_are_read_as_num2words_reads_them() -> None:
    for text in wordings("bilangan "):
        match = re.search(r"(\d[\d.]*) (?:dibaca|dibaca sebagai|\() ?([a-z ]+)", text)
        if match and "dibaca" in text:
            value = int(match[1].replace(".", ""))
            assert num2words(value, lang="id") in text


@pytest.mark.parametrize(
    ("kind", "sign"), [("addition", "ditambah"), ("subtraction", "dikurangi"), ("multiplication", "dikali")]
)
def test_arithmetic_is_right(kind: str, sign: str) -> None:
    operations = {"ditambah": int.__add__, "dikurangi": int.__sub__, "dikali": int.__mul__}
    for asked, answer in exercises_of(kind):
        first, second = map(int, re.findall(r"\d+", asked))
        assert f"{first} {sign} {second}" == asked
        assert answer == f"{asked} sama dengan {operations[sign](first, second)}."


def test_word_problems_balance() -> None:
    for _, answer in exercises_of("word_problem"):
        total, first, sign, second, again = re.findall(r"\d+|[+-]", answer)
        assert int(total) == int(again) == int(first) + (1 if sign == "+" else -1) * int(second)
        assert int(total) >= 0


def test_numbers_are_spelled_as_num2words_spells_them() -> None:
    for asked, answer in [*exercises_of("spelling"), *exercises_of("rupiah")]:
        value = int(re.sub(r"\D", "", asked))
        assert num2words(value, lang="id") in answer
    for asked, answer in exercises_of("digits"):
        assert num2words(int(re.sub(r"\D", "", answer)), lang="id") == asked


def test_roman_numerals_read_back_as_the_number() -> None:
    worth = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    for value in range(1, 400):
        numeral = exercises.roman_numeral(value)
        read = [worth[letter] for letter in numeral]
        signed = [-now if now < after else now for now, after in zip(read, [*read[1:], 0], strict=True)]
        assert sum(signed) == value


def test_units_convert_by_their_factor() -> None:
    factors = {(unit.large, unit.small): unit.factor for unit in exercises.units()}
    assert factors["kilometer", "meter"] == 1000
    assert factors["jam", "menit"] == 60
    for _, answer in exercises_of("unit"):
        match = re.fullmatch(r"(\d+) (\w+) sama dengan ([\d.]+) (\w+)\.", answer)
        assert match is not None
        assert int(match[1]) * factors[match[2], match[4]] == int(match[3].replace(".", ""))


def test_weekdays_are_counted_right() -> None:
    numbers = {num2words(number, lang="id"): number for number in range(1, 20)}
    days = list(countries.weekdays())
    for _, answer in exercises_of("later_weekday"):
        match = re.fullmatch(r"([\w ]+) hari setelah hari (\w+) adalah hari (\w+)\.", answer)
        assert match is not None
        assert days[(days.index(match[2]) + numbers[match[1].lower()]) % 7] == match[3]


def test_sorting_and_counting_words_is_right() -> None:
    for asked, answer in exercises_of("sorting"):
        expected = sorted(asked.split(", "))
        assert re.findall(r"[\w-]+", answer.removeprefix("Urutannya adalah ").replace(" dan ", " ")) == expected
    for asked, answer in exercises_of("word_count"):
        assert f"atas {num2words(len(asked.split()), lang='id')} kata" in answer


def test_active_and_passive_verbs_share_their_root() -> None:
    for verb in words.transitives():
        assert verb.active.startswith("me")
        assert verb.passive.startswith("di")
        assert verb.active[-3:] == verb.passive[-3:]


def test_word_lists_do_not_repeat_or_contradict_themselves() -> None:
    assert all(pair.word != pair.opposite for pair in words.opposites())
    assert all(pair.word != pair.synonym for pair in words.synonyms())
    members = [member for group in words.word_groups().values() for member in group]
    assert len(set(members)) == len(members)


def test_every_pantun_rhymes_a_b_a_b() -> None:
    poems = pantun.pantuns()
    assert len(poems) > 300
    assert len({poem.text for poem in poems}) == len(poems)
    for poem in poems:
        first, second, third, fourth = map(last_rhyme, poem.lines)
        assert first == third
        assert second == fourth
        assert first != second
        assert all(3 <= len(line.split()) <= 6 for line in poem.lines)


def test_answers_about_a_story_stand_in_the_story() -> None:
    for number in range(200):
        tale = stories.story(generator(7, number))
        for question, answer in tale.questions():
            assert question.endswith("?")
            told = set(re.findall(r"\w+", tale.text.lower()))
            glue = {"pergi", "ditemani", "oleh", "dengan", "mereka", "berangkat", "pada", "untuk", "ke"}
            assert set(re.findall(r"\w+", answer.lower())) <= told | glue


def last_rhyme(line: str) -> str:
    """From the last vowel on, found from the right: written apart from the generator's regular expression."""
    for place in range(len(line) - 1, -1, -1):
        if line[place].lower() in "aiueo":
            return line[place:].lower()
    raise AssertionError(line)


def wordings(start: str) -> list[str]:
    return [
        text
        for article in articles.articles()
        if article.subject.startswith(start)
        for part in article.parts
        for text in part.wordings
    ]


def exercises_of(kind: str) -> list[tuple[str, str]]:
    made = [content for content in exercises.contents(11, 1500) if content.key.startswith(f"{kind}/")]
    assert made
    return [(content.key.split("/", 1)[1], content.pairs[0].answer) for content in made]
