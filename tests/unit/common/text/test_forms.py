"""Forms of comparison: what counts as the same text, and as the same words."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.forms import folded_words, normal_form, tidied


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_normal_form_is_idempotent_and_blind_to_composition(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once
    assert normal_form(unicodedata.normalize("NFD", text)) == once
    assert "  " not in once
    assert once == once.strip(" ")


def test_folded_words_are_blind_to_case_punctuation_and_typography() -> None:
    assert folded_words("Kota AMBON, di „Maluku“!") == ["kota", "ambon", "di", "maluku"]
    assert folded_words("\ufb01lm \uff21\uff22") == ["film", "ab"]  # a ligature, letters of full width
    assert folded_words(" ... ") == []


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("  dua\u00a0 kata\t", "dua kata"),
        ("satu\r\ndua\u2028tiga \n", "satu\ndua\ntiga"),
        ("def f():\n    return  1", "def f():\n    return 1"),
        ("re\u0301sume\u0301", "r\u00e9sum\u00e9"),
        (" \u3000\n ", ""),
    ],
)
def test_tidied_text_keeps_lines_and_indentation(text: str, tidy: str) -> None:
    assert tidied(text) == tidy


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_tidied_text_has_the_same_normal_form_and_stays_as_it_is(text: str) -> None:
    assert normal_form(tidied(text)) == normal_form(text)
    assert tidied(tidied(text)) == tidied(text)
