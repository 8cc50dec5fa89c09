"""Language identification on sentences written for this test."""

from __future__ import annotations

import pytest

from common.text.language import LANGUAGES, language_of

PLAIN = "Klub itu sudah lama berdiri dan pernah memenangkan pertandingan, dan para pendukungnya selalu datang."
NAMES = "Sociedade Esportiva Palmeiras, Fluminense Football Club, Clube de Regatas do Flamengo, Rio de Janeiro."


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "Ibu kota Indonesia adalah Jakarta, tetapi pemerintahan akan pindah ke Nusantara."),
        ("id", "Cara membuat teh manis: rebus air, masukkan daun teh, lalu tambahkan gula secukupnya."),
        ("id", f"{PLAIN} {NAMES}"),
        ("other", NAMES),
        ("ms", "Kereta itu dipandu laju di lebuh raya sebelum terbabas dan melanggar pembahagi jalan."),
        ("ms", "Polis telah menahan tiga lelaki kerana disyaki terlibat dalam kes kecurian motosikal."),
        ("jv", "Aku arep lunga menyang pasar tuku sayuran karo woh-wohan kanggo ibu."),
        ("su", "Kuring rek indit ka pasar meuli sayuran jeung bungbuahan pikeun ema, isuk-isuk pisan."),
        ("su", "Di dieu teh aya leuwih ti opat rebu jalma nu teu boga imah jeung teu boga pagawean deui."),
        ("en", "The capital of Indonesia is Jakarta, but the government will move to Nusantara."),
        ("other", "Die Hauptstadt von Indonesien ist Jakarta, aber die Regierung zieht nach Nusantara um."),
        ("short", "Jakarta 1945"),
        ("short", ""),
        ("short", "?!? ... 12 34"),
    ],
)
def test_sentences_are_told_apart(language: str, text: str) -> None:
    assert language in LANGUAGES
    assert language_of(text) == language
