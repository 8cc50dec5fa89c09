"""Countries and provinces: capitals and regions that are beyond doubt, the rest from Unicode CLDR (Babel, locale
`id`).

Left out of `tables/countries.csv` on purpose: countries with several, disputed or recently moved capitals. A line has
the territory code, the UN M49 code of the region, the capital in Indonesian spelling, the code of the official language
where it is beyond doubt, and whether the currency is in doubt (it changed lately). Names of territories, regions,
currencies and languages come from CLDR, so that the unit tests can compare each sentence with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from babel import Locale
from babel.numbers import get_territory_currencies

from data_prep.bundled.language.word_tables import table

INDONESIAN = Locale("id")
CURRENCY_DATE = date(2023, 6, 1)
"""Fixed: Babel's default is today, and the corpus must not depend on the day it is made."""

# CLDR's names are right but not the ones most Indonesians would use in a sentence.
_COMMON_LANGUAGE_NAMES = {"da": "Denmark", "fi": "Finlandia", "pl": "Polandia", "nb": "Norwegia", "zh": "Mandarin"}
_COMMON_COUNTRY_NAMES = {"BN": "Brunei Darussalam"}


@dataclass(frozen=True)
class Country:
    """A country as the corpus speaks of it. `currency` is None where it is doubtful, `language` where uncertain."""

    code: str
    name: str
    region: str
    capital: str
    currency: str | None
    currency_code: str | None
    language: str | None


@dataclass(frozen=True)
class CountryCodes:
    """A line of `tables/countries.csv`."""

    code: str
    region_code: str
    capital: str
    language_code: str | None
    currency_doubt: str | None


@dataclass(frozen=True)
class Province:
    """A province of Indonesia; `island` is None where it lies on several islands."""

    name: str
    capital: str
    island: str | None


@cache
def countries() -> tuple[Country, ...]:
    return tuple(map(_country, table("countries", CountryCodes)))


def _country(codes: CountryCodes) -> Country:
    tender = get_territory_currencies(codes.code, CURRENCY_DATE, CURRENCY_DATE)
    certain = len(tender) == 1 and not codes.currency_doubt
    return Country(
        code=codes.code,
        name=_COMMON_COUNTRY_NAMES.get(codes.code, str(INDONESIAN.territories[codes.code])),
        region=str(INDONESIAN.territories[codes.region_code]).replace(" Bagian ", " "),
        capital=codes.capital,
        currency=currency_in_sentence(tender[0]) if certain else None,
        currency_code=tender[0] if certain else None,
        language="bahasa " + language_name(codes.language_code) if codes.language_code else None,
    )


def currency_in_sentence(code: str) -> str:
    """CLDR's name of a currency as it stands inside a sentence: the unit in lower case, the country capitalised."""
    name = str(INDONESIAN.currencies[code])
    return name[0].lower() + name[1:]


def language_name(code: str) -> str:
    return _COMMON_LANGUAGE_NAMES.get(code, str(INDONESIAN.languages[code]))


def provinces() -> tuple[Province, ...]:
    return table("provinces", Province)


@cache
def months() -> tuple[str, ...]:
    """January to December."""
    return tuple(str(INDONESIAN.months["format"]["wide"][number]) for number in range(1, 13))


@cache
def weekdays() -> tuple[str, ...]:
    """Monday to Sunday, as `datetime.date.weekday` counts."""
    return tuple(str(INDONESIAN.days["format"]["wide"][number]) for number in range(7))
