"""Forms of comparison: what counts as the same text, and as the same words."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.forms import folded_words, normal_form


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
