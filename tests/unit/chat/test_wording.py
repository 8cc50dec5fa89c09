"""The chat's own words in Indonesian: every one of them, with the same values in it."""

from __future__ import annotations

import ast
import json
from string import Formatter

import pytest

from chat import page, terminal
from chat.wording import INDONESIAN, wording
from tests.support.imports import REPOSITORY

TABLE = json.loads(INDONESIAN.read_text(encoding="utf-8"))


def said(file: str) -> set[str]:
    """What stands in `say("...")` there."""
    tree = ast.parse((REPOSITORY / "chat" / file).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    saying = [
        call for call in calls if ast.unparse(call.func).split(".")[-1] == "say" or "wording(" in ast.unparse(call.func)
    ]
    return {str(call.args[0].value) for call in saying if isinstance(call.args[0], ast.Constant)}


def test_the_table_holds_what_is_said_and_nothing_else() -> None:
    by_name = {page.TITLE, *page.CONFIDENCES, terminal.HELP}
    spoken = {"Denoising step", "Question", "Sampler settings", "Send", "Stop", "New conversation"}  # in a list there
    assert said("page.py") | said("terminal.py") | by_name | spoken == set(TABLE)


def test_a_translation_has_the_same_values_in_it() -> None:
    for english, indonesian in TABLE.items():
        fields = [
            sorted((name, form) for _, name, form, _ in Formatter().parse(text) if name)
            for text in (english, indonesian)
        ]
        assert fields[0] == fields[1], english


def test_english_is_said_as_it_stands_and_what_the_table_lacks_is_a_fault() -> None:
    assert wording("en")("Send") == "Send"
    assert wording("id")("Send") == "Kirim"
    with pytest.raises(KeyError):
        wording("id")("Sendt")
