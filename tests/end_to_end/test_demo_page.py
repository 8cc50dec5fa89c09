"""The web page in a real browser: an answer is written, the slider goes back, nothing leaves the machine.

Needs gradio (the extra `demo`) and a Chromium (on the PATH, or named by $CHROMIUM); skipped, saying so, without them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.evaluation import write_tiny_base
from tests.support.nasty_texts import NASTY
from tests.support.web.browser import Page, browser_page, find_browser
from tests.support.web.serving import running

CHROMIUM = find_browser()
QUESTION = "Di pulau mana <b>Medan</b> ${1+1}?"
PANEL = "document.querySelector('.panel').innerText"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH and $CHROMIUM is not set"),
    pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="gradio is not installed (the extra `demo`)"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    from adapters.config import ModelConfig
    from chat.conversation import Conversation
    from chat.page import MOST_BYTES, PATHS, application
    from chat.systems import Systems
    from llada import SamplerConfig

    base = write_tiny_base(tmp_path_factory.mktemp("base"))
    systems = Systems(ModelConfig(), base, {"base": None})
    sampling = SamplerConfig(gen_length=16, block_length=8, steps=16, eos_policy="suppress")
    talk = Conversation(("base",), sampling, seed=1)
    app = application(systems, talk, str(tmp_path_factory.mktemp("gradio")))
    assert CHROMIUM is not None
    with running(app, PATHS, MOST_BYTES) as url, browser_page(CHROMIUM) as browser:
        browser.screen(1280, 900, False)
        browser.send("Page.navigate", url=url)
        for part in ("#question textarea", "#send", ".panel"):  # gradio mounts them one after another
            browser.wait_for(f"!!document.querySelector('{part}')", seconds=60)
        yield browser


def ask(page: Page, text: str) -> None:
    page.run("document.querySelector('#question textarea').focus()")
    page.send("Input.insertText", text=text)
    page.run("document.querySelector('#send').click()")


def test_an_answer_is_written_and_the_slider_goes_back(page: Page) -> None:
    ask(page, QUESTION)
    page.wait_for("!!document.querySelector('#step input[type=range]:not([disabled])')")
    page.wait_for(f"{PANEL}.includes('step 16')")
    finished = page.run(PANEL)
    assert QUESTION in finished  # as text, not as markup or a template
    assert page.run("document.querySelectorAll('.panel .token.masked').length") == 0
    page.run("document.querySelector('#step input[type=range]').focus()")
    page.press("ArrowLeft", 4)
    page.wait_for(f"{PANEL}.includes('step 12')")
    assert page.run("document.querySelectorAll('.panel .token.masked').length") == 4
    assert page.run("document.querySelectorAll('.panel .token.new').length") == 1


def test_the_switch_puts_the_page_into_indonesian_and_leaves_the_conversation(page: Page) -> None:
    words = "document.body.innerText"
    question = page.run("document.querySelector('.panel .question').innerText")
    page.run("document.querySelectorAll('#language input')[1].click()")
    for text in ("Kirim", "Percakapan baru", "Langkah penyingkapan", "Keyakinan token baru:", "LLaDA, dalam bahasa"):
        page.wait_for(f"{words}.includes({json.dumps(text)})")
    assert page.run("document.querySelector('.panel .question').innerText") == question
    assert "langkah" in page.run(PANEL)
    page.run("document.querySelectorAll('#language input')[0].click()")
    page.wait_for(f"{words}.includes('New conversation')")


def test_no_question_runs_as_a_script_or_asks_for_anything(page: Page) -> None:
    """Each nasty text is asked; most are answered by a conversation that shows all of them."""
    before = page.run("document.scripts.length")
    for name in ("script", "onerror", "svg onload", "iframe srcdoc", "end of a title", "Markdown image", "mathematics"):
        page.run("document.querySelector('#question textarea').value = ''")
        ask(page, NASTY[name])
        page.wait_for(f"{PANEL}.includes({json.dumps(NASTY[name][:20])})")
        page.wait_for("!!document.querySelector('#step input[type=range]:not([disabled])')")
    assert page.run("window.ran ?? 0") == 0
    assert page.run("document.scripts.length") == before
    assert page.run("document.querySelectorAll('.panel :is(script, img, svg, iframe, a, style, math)').length") == 0


def test_a_wrong_setting_is_said_and_nothing_is_asked(page: Page) -> None:
    before = page.run(PANEL)
    page.run("[...document.querySelectorAll('button')].find((b) => b.innerText.includes('Sampler settings')).click()")
    page.wait_for("[...document.querySelectorAll('input[aria-label=\"steps\"]')].length > 0")
    page.run("(() => { const s = document.querySelector('input[aria-label=\"steps\"]'); s.focus(); s.select(); })()")
    page.send("Input.insertText", text="15")
    ask(page, "Halo!")
    page.wait_for("document.querySelector('#status').innerText.includes('steps is 15, allowed with the rule quota')")
    assert page.run(PANEL) == before


def test_nothing_leaves_the_machine(page: Page) -> None:
    asked = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert asked
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []


def test_no_text_in_a_panel_runs_or_asks_for_anything(page: Page, tmp_path: Path) -> None:
    """Last, because it leaves the page: every nasty text as name, question, history and token."""
    from chat.frames import Frame, TokenView
    from chat.page import panel

    parts = []
    for text in NASTY.values():
        frame = Frame(0, 1, 0.1, (TokenView(text, 0.5, 0), TokenView(text, 0.5, -2)), text, 0)
        parts.append(panel(text, [{"role": "assistant", "content": text}], text, frame))
    (tmp_path / "panels.html").write_text(f"<!doctype html><meta charset=utf-8>{''.join(parts)}", encoding="utf-8")
    page.requests.clear()
    page.open(tmp_path / "panels.html")
    page.run("new Promise((done) => setTimeout(done, 300))")
    assert page.run("window.ran ?? 0") == 0
    assert page.run("document.querySelectorAll('.panel').length") == len(NASTY)
    assert page.run("document.querySelectorAll('.panel :not(h2, p, span)').length") == 0
    assert page.requests == [(tmp_path / "panels.html").resolve().as_uri()]
