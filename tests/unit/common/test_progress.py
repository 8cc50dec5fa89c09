"""What a user's rows say goes to the terminal as it is."""

from __future__ import annotations

import io
import re

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from common.progress import console, plain_console
from tests.support.imports import PACKAGES, REPOSITORY

TEXTS = ["[/INST] bagian", "t[/1]", "[/catatan]", "[id] berita", "wiki:id:2024", ":smile:", "[bold]x", "\\[a]", "[/]"]


def shown(renderable: object) -> str:
    stream = io.StringIO()
    plain_console(file=stream, width=100, force_terminal=False).print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_a_users_are_no_markup_in_words_tables_and_titles(text: str) -> None:
    grid = Table(text, title=text, caption=text)
    grid.add_row(text)
    for renderable in (text, grid, Panel(text, title=Text(text), subtitle=Text(text))):
        assert text in shown(renderable)
    assert shown(grid).count(text) == 4


def test_every_console_is_made_in_one_place() -> None:
    made = re.compile(r"Console\((?!Console\):)")  # but for the class statement
    sources = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    found = [path for path in sources if made.search(path.read_text(encoding="utf-8"))]
    assert found == [REPOSITORY / "common" / "progress.py"]


def test_the_shared_console_is_a_plain_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("[/INST] :id:")
    assert capsys.readouterr().err == "[/INST] :id:\n"
