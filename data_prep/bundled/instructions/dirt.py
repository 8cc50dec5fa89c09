"""What selection must throw away: the kinds of dirt that Cendol v2 has, in about its proportions, made from the
clean rows.

Exact copies (safety and identity rows stand hundreds of times in the original), variants of a pair that differ
only in white space or Unicode composition, null and empty cells, and rows of subsets in regional languages (month
and country names from CLDR's Javanese and Sundanese locales).
"""

from __future__ import annotations

import unicodedata
import uuid

from babel import Locale

from data_prep.bundled.language.content import generator

Row = dict[str, str | None]

COPIES = {"safety_prompt": 10, "identity_prompt": 10}
VARIANT_SHARE = 0.05
HOLE_SHARE = 0.01
REGIONAL = {"jv": ("jav", "Jawa"), "su": ("sun", "Sunda")}
_SPACES = ("\u00a0", "  ", "\t")  # no-break space, double space, tab


def dirty_rows(clean: list[Row], seed: int) -> list[Row]:
    """Rows to mix into the clean ones; none of them survives selection."""
    copies: list[Row] = [dict(row) for row in clean for _ in range(COPIES.get(str(row["subset_name"]), 0))]
    chance = generator(seed, "dirt")
    copies += [dict(row) for row in chance.sample(clean, len(clean) // 50)]
    varied = [variant(row, number) for number, row in enumerate(chance.sample(clean, int(len(clean) * VARIANT_SHARE)))]
    holed = [hole(row, number) for number, row in enumerate(chance.sample(clean, max(8, int(len(clean) * HOLE_SHARE))))]
    return copies + varied + holed + regional_rows(len(clean) // 14)


def variant(row: Row, number: int) -> Row:
    """The same pair with other white space or in decomposed Unicode (NFD)."""
    given, answer = str(row["input"]), str(row["output"])
    changed = (
        {"input": f"  {given} ", "output": answer + "\n"},
        {"input": given.replace(" ", _SPACES[number % 3], 1), "output": answer},
        {"input": unicodedata.normalize("NFD", given), "output": unicodedata.normalize("NFD", answer) + " "},
    )[number % 3]
    return row | changed


def hole(row: Row, number: int) -> Row:
    """A row that lacks its answer or its instruction: null, empty or blank."""
    column = "output" if number % 2 == 0 else "input"
    return row | {column: (None, "", "   \n")[number % 3]}


def regional_rows(count: int) -> list[Row]:
    """Rows of subsets outside the six: names of countries, languages and months in Javanese and Sundanese."""
    indonesian = Locale("id")
    rows: list[Row] = []
    for locale_name, (code, language) in REGIONAL.items():
        locale = Locale(locale_name)
        names = [
            (str(indonesian.territories[key]), str(name))
            for key, name in sorted(locale.territories.items())
            if key in indonesian.territories
        ]
        names += [
            (str(indonesian.months["format"]["wide"][month]), str(locale.months["format"]["wide"][month]))
            for month in range(1, 13)
        ]
        subset = f"regional_names_{code}_nusantara_text"
        regional: list[Row] = [
            {
                "dataset_name": "embedded",
                "subset_name": subset,
                "prompt_id": str(uuid.uuid5(uuid.NAMESPACE_OID, subset)),
                "template_name": "translation",
                "dataset_key": "train",
                "input": f"Terjemahkan nama berikut ke dalam bahasa {language}.\n\n{source}",
                "output": target,
            }
            for source, target in names[: count // 2]
        ]
        rows += regional
    return rows
