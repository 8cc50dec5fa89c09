"""One rule per output, each held against the same nasty texts."""

from __future__ import annotations

import re
from io import StringIO
from typing import get_args, get_type_hints

import pytest
from markdown_it import MarkdownIt
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from common.errors import LONGEST, InputError
from common.escaping import markdown, markdown_code, visible, visible_everywhere, without_machine_paths
from common.progress import plain_console
from tests.support.nasty_texts import NASTY

TERMINAL_OBEYS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
nasty = pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)


def test_the_set_is_large_enough() -> None:
    assert len(NASTY) >= 40
    assert max(map(len, NASTY.values())) >= 100_000


@nasty
def test_visible_leaves_nothing_that_a_terminal_obeys_or_a_reader_does_not_see(text: str) -> None:
    shown = visible(text)
    assert not TERMINAL_OBEYS.search(shown)
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["Apa itu?\n\tKopi — “pahit”.", "می\u200cخواهم", "👩\u200d🌾", "שלום\u200f!", "क्\u200dष", "co\u00adop", "ﷺ"]
)
def test_visible_changes_no_language(text: str) -> None:
    assert visible(text) == text


def test_visible_reaches_every_text_of_json_like_data() -> None:
    assert visible_everywhere({"a\x1b": ["\u202e", ("\0", 1, None)]}) == {"a\\x1b": ["\\u202e", ["\\x00", 1, None]]}


@nasty
def test_an_error_is_one_short_line(text: str) -> None:
    [fault] = InputError(f"rows.jsonl: prompt: {text!s}: not allowed").faults
    assert len(fault) <= LONGEST
    assert not TERMINAL_OBEYS.search(fault)
    assert "\n" not in fault


@nasty
def test_a_console_shows_the_text_alone(text: str) -> None:
    short = text[:200]
    stream = StringIO()
    console = plain_console(file=stream, width=4000, force_terminal=True, color_system=None)
    table = Table(short, title=short)
    table.add_row(short)
    for shown in (short, Text(short), Panel(Text(short), title=Text(short)), table):
        console.print(shown)
    written = stream.getvalue()
    assert not TERMINAL_OBEYS.search(written)
    first = next(line for line in visible(short).split("\n") if line.strip()).strip()
    assert written.expandtabs().count(first.expandtabs()) >= 3  # rich itself drops some characters of a Text


def _plain_inlines(source: str) -> tuple[str, list[str]]:
    """(text, other tokens) that an independent CommonMark reader finds in one list item and one table cell."""
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found: list[str] = []
    text = ""
    for token in reader.parse(source):
        if token.type != "inline":
            found.append(token.type)
            continue
        for child in token.children or []:
            if child.type in ("text", "text_special"):
                text += child.content
            else:
                found.append(child.type)
    return text, found


@nasty
def test_markdown_shows_the_text_and_makes_nothing_of_it(text: str) -> None:
    short = text[:300]
    wanted = " ".join(visible(short).split())
    shown, found = _plain_inlines(f"- {markdown(short)}\n")
    assert shown == wanted
    assert {kind.rpartition("_")[0] for kind in found} <= {"bullet_list", "list_item", "paragraph"}
    shown, found = _plain_inlines(f"| a |\n|--|\n| {markdown(short)} |\n")
    assert shown == f"a{wanted}"
    assert found.count("td_open") == 1
    assert {kind.partition("_")[0] for kind in found} == {"table", "thead", "tbody", "tr", "th", "td"}
    # GitHub makes links and mentions of what is no link to CommonMark
    assert not re.search(r"://|www\.|@|(?i:javascript|mailto|data):", markdown(text))


@nasty
def test_a_span_of_code_holds_the_whole_text(text: str) -> None:
    short = text[:300]
    markdown_it = pytest.importorskip("markdown_it")
    [block] = [
        one for one in markdown_it.MarkdownIt().parse(f"- run: {markdown_code(short)}\n") if one.type == "inline"
    ]
    kinds = [child.type for child in block.children]
    assert kinds in (["text", "code_inline"], ["text"])
    assert block.children[-1].content.strip("` ") == " ".join(visible(short).split()).strip("` ")


def test_markdown_leaves_ordinary_words_alone() -> None:
    for text in (
        "chrF++ 67.3 (60.8 to 73.6)",
        "LoRA+ is better than PiSSA, p = 0.036.",
        "bound_per_token",
        "−0.5%",
        "C-3",
    ):
        assert markdown(text) == text


def test_the_only_csv_holds_numbers_alone() -> None:
    from training.progress import CurveRow

    for name, kind in get_type_hints(CurveRow).items():
        assert set(get_args(kind) or (kind,)) <= {int, float, type(None)}, name


def test_paths_of_this_machine_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/data/people/budi")
    told = without_machine_paths({
        "base": {"name": "/data/people/budi/models/llada-8b", "revision": None},
        "path": ["~/adapters/lora/", "C:\\Users\\budi\\rows", "GSAI-ML/LLaDA-8B-Instruct", "artifacts/mini"],
        "command": "train --set data.source=/data/people/budi/rows and /home/sri/x",
        "seed": 42,
    })  # fmt: skip
    assert told == {
        "base": {"name": "llada-8b", "revision": None},
        "path": ["lora", "rows", "GSAI-ML/LLaDA-8B-Instruct", "artifacts/mini"],
        "command": "train --set data.source=~/rows and ~/x",
        "seed": 42,
    }
