"""A report made of nasty texts: HTML holds them as text, Markdown and cards make nothing of them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from common.escaping import visible
from tests.support.nasty_texts import NASTY, RAN
from tests.support.report import write_nasty_report

INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nasty_report(tmp_path_factory.mktemp("nasty"))


class Elements(HTMLParser):
    """What the page is made of, and the text on it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcdoc")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", ["index.html", "lora.html"])
def test_a_page_has_no_element_attribute_or_address_from_a_text(report: Path, name: str) -> None:
    source = (report / name).read_text(encoding="utf-8")
    page = Elements()
    page.feed(source)
    assert not INVISIBLE.search(source)
    assert not page.tags & {"iframe", "base", "form", "object", "embed"}
    assert not [attribute for attribute in page.attributes if attribute.startswith("on")]
    assert [
        at for at in page.addresses if not at.startswith(("#", "data:image/png", "data:,")) and ".html" not in at
    ] == []
    for key in ("script", "jinja", "right-to-left override", "lone surrogate", "NUL", "Markdown image"):
        assert visible(NASTY[key]).replace("\\udfff", "\\ud800") in page.text, key


@pytest.mark.parametrize("name", ["report.md", "cards/lora/README.md"])
def test_markdown_has_no_link_image_or_html_from_a_text(report: Path, name: str) -> None:
    source = (report / name).read_text(encoding="utf-8").split("\n---\n")[-1]
    assert not INVISIBLE.search(source)
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(source)
    kinds = {child.type for token in tokens for child in (token.children or [token])}
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_block"}
    headings = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]
    assert "Verdict" not in headings
    for token in (token for token in tokens if token.type == "inline"):
        for child in token.children or []:
            assert RAN not in child.content or child.type in ("text", "code_inline")


def test_the_card_still_has_its_front_matter(report: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(report / "cards" / "lora" / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.license is None
