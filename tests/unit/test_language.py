"""Language identification on sentences written for this test."""

from __future__ import annotations

import pytest

from eval.language import LANGUAGES, identify


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "Ibu kota Indonesia adalah Jakarta, tetapi pemerintahan akan pindah ke Nusantara."),
        ("id", "Cara membuat teh manis: rebus air, masukkan daun teh, lalu tambahkan gula secukupnya."),
        ("ms", "Kereta itu dipandu laju di lebuh raya sebelum terbabas dan melanggar pembahagi jalan."),
        ("ms", "Polis telah menahan tiga lelaki kerana disyaki terlibat dalam kes kecurian motosikal."),
        ("jv", "Aku arep lunga menyang pasar tuku sayuran karo woh-wohan kanggo ibu."),
        ("en", "The capital of Indonesia is Jakarta, but the government will move to Nusantara."),
        ("other", "Die Hauptstadt von Indonesien ist Jakarta, aber die Regierung zieht nach Nusantara um."),
        ("short", "Jakarta 1945"),
        ("short", ""),
        ("short", "?!? ... 12 34"),
    ],
)
def test_sentences_are_told_apart(language: str, text: str) -> None:
    assert identify(text) == language


def test_sundanese_is_reported_with_javanese_because_the_detector_does_not_know_it() -> None:
    assert identify("Kuring rek indit ka pasar meuli sayuran jeung bungbuahan pikeun ema, isuk-isuk pisan.") == "jv"
    assert "su" not in LANGUAGES
