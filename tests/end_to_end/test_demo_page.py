"""The web page in a real browser: an answer is written, the slider goes back, nothing leaves the machine.

Needs gradio (the extra `demo`) and a Chromium (on the PATH, or named by $CHROMIUM); skipped, saying so, without them.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator

import pytest

from tests.support.browser import Page, browser_page, find_browser
from tests.support.evaluation import write_tiny_base

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
    from chat.page import build
    from chat.systems import Systems
    from llada import SamplerConfig

    base = write_tiny_base(tmp_path_factory.mktemp("base"))
    systems = Systems(ModelConfig(), base, {"base": None})
    sampling = SamplerConfig(gen_length=16, block_length=8, steps=16, eos_policy="suppress")
    blocks, look = build(systems, Conversation(("base",), sampling, seed=1))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    blocks.launch(
        server_name="127.0.0.1", server_port=port, quiet=True, prevent_thread_lock=True, ssr_mode=False, **look
    )
    assert CHROMIUM is not None
    with browser_page(CHROMIUM) as browser:
        browser.screen(1280, 900, False)
        browser.send("Page.navigate", url=blocks.local_url)
        for part in ("#question textarea", "#send", ".panel"):  # gradio mounts them one after another
            browser.wait_for(f"!!document.querySelector('{part}')")
        yield browser
    blocks.close(verbose=False)


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
