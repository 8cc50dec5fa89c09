"""The frame's words in Indonesian: as the page's script looks them up."""

from __future__ import annotations

import json
import re

from eval.report.templates.environment import TEMPLATES

WORDS = json.loads((TEMPLATES / "indonesian.json").read_text(encoding="utf-8"))


def test_every_word_can_be_found_and_keeps_its_numbers() -> None:
    for english, indonesian in WORDS.items():
        assert not re.search(r"\d", english + indonesian)
        assert english == " ".join(english.split())
        assert indonesian == " ".join(indonesian.split())
        assert english.count("#") == indonesian.count("#")
