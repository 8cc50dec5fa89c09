"""The report in a real browser, network off: no request, no error, everything by keyboard, accessible, nothing cut off.

Needs a Chromium (on the PATH, or named by $CHROMIUM); the accessibility test also needs axe-core's axe.min.js (its path
in $AXE_CORE, for example from `npm pack axe-core`). Without them the tests are skipped, saying so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.report import SUBSETS, write_nasty_report, write_planted_report
from tests.support.web.browser import Page, browser_page, find_browser

CHROMIUM = find_browser()
AXE = os.environ.get("AXE_CORE")
SCREENS = [(1280, 900, False), (1280, 900, True), (390, 844, False), (390, 844, True)]
PAGES = ("index.html", "pissa.html")

NOT_TRANSLATED = re.compile(  # names, data, and what is the same in both languages
    "|".join(SUBSETS)
    + r"|Base − .*|planted|XCOPA.*|n = .*|advice.*|city|year|chrF\+\+.*|Data|Level|Subset|p \(Holm\)|Distinct"
    + r"|lora|ar-lora",
    re.DOTALL,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH and $CHROMIUM is not set")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted_report(tmp_path_factory.mktemp("planted"), count=30, points=300)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nasty_report(tmp_path_factory.mktemp("nasty"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    assert CHROMIUM is not None
    with browser_page(CHROMIUM) as page:
        yield page


@pytest.fixture
def index(browser: Page, report: Path) -> Page:
    browser.screen(1280, 900, False)
    browser.open(report / "index.html")
    return browser


def focus(page: Page, identifier: str) -> None:
    page.run(f"document.getElementById('{identifier}').focus()")


@pytest.mark.parametrize("name", PAGES)
def test_no_request_and_no_console_message(browser: Page, report: Path, name: str) -> None:
    browser.requests.clear()
    browser.errors.clear()
    browser.open(report / name)
    browser.run("new Promise((done) => setTimeout(done, 300))")
    assert [url for url in browser.requests if not url.startswith("data:")] == [(report / name).resolve().as_uri()]
    assert browser.errors == []


@pytest.mark.parametrize("name", ["index.html", "lora.html"])
def test_no_text_runs_as_a_script_or_asks_for_anything(browser: Page, nasty: Path, name: str) -> None:
    browser.requests.clear()
    browser.errors.clear()
    browser.screen(1280, 900, False)
    browser.open(nasty / name)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    for identifier in browser.run("[...document.querySelectorAll('select, button')].map((n) => n.id).filter(Boolean)"):
        focus(browser, identifier)
        browser.press("ArrowDown")
        browser.press("Enter")
    browser.run("[...document.querySelectorAll('*')].forEach((n) => { n.focus?.(); })")
    browser.run("new Promise((done) => setTimeout(done, 300))")
    assert browser.run("window.ran ?? 0") == 0
    assert browser.run("document.querySelectorAll('iframe, base, form, img:not([src^=\"data:\"])').length") == 0
    assert browser.run("document.scripts.length") == browser.run("document.querySelectorAll('body script').length") <= 4
    assert [url for url in browser.requests if not url.startswith("data:")] == [(nasty / name).resolve().as_uri()]
    assert browser.errors == []
    assert browser.run("document.documentElement.scrollWidth") <= 1280


def test_tab_reaches_every_control(index: Page) -> None:
    wanted = set(
        index.run("[...document.querySelectorAll('input, select, button:not([hidden]), canvas')].map((n) => n.id)")
    )
    reached = set()
    for _ in range(120):
        index.press("Tab")
        reached.add(index.run("document.activeElement.id"))
        if wanted <= reached:
            break
    assert wanted <= reached, wanted - reached


def test_the_player_plays_by_keyboard(index: Page) -> None:
    focus(index, "player-speed")
    index.run("document.getElementById('player-speed').value = '70'")
    focus(index, "player-play")
    index.press("Enter")
    assert index.run("document.getElementById('player-play').textContent") == "Pause"
    index.wait_for("Number(document.getElementById('player-step').value) >= 2")
    assert index.run("document.querySelectorAll('#player-stage .token.new').length") > 0
    assert index.run("document.querySelectorAll('#player-stage .token.masked').length") > 0
    index.wait_for("document.getElementById('player-play').textContent === 'Play'")
    assert index.run("document.querySelectorAll('#player-stage .token.masked').length") == 0
    shown = index.run("document.querySelectorAll('#player-stage .tokens')[1].textContent")
    answer = index.run("document.querySelector('article.answer dl > div:nth-child(3) dd').textContent.trim()")
    assert shown.replace("stop", "").strip() == answer


def test_the_slider_steps_by_arrow_keys_and_shows_what_was_taken_back(index: Page) -> None:
    focus(index, "player-step")
    index.run("(() => { const s = document.getElementById('player-step'); s.value = 0; })()")
    index.press("ArrowRight")
    assert index.run("document.getElementById('player-step').value") == "1"
    index.press("ArrowRight")
    assert index.run("document.getElementById('player-status').textContent").startswith("Step 2 of")
    assert index.run("document.querySelectorAll('#player-stage .token.back').length") > 0


def test_pause_stops_the_player(index: Page) -> None:
    index.run("document.getElementById('player-speed').value = '600'")
    focus(index, "player-play")
    index.press("Enter")
    index.press("Enter")
    assert index.run("document.getElementById('player-play').textContent") == "Play"
    step = index.run("document.getElementById('player-step').value")
    index.run("new Promise((done) => setTimeout(done, 900))")
    assert index.run("document.getElementById('player-step').value") == step


def test_search_filter_order_and_more(index: Page) -> None:
    visible = "[...document.querySelectorAll('article.answer')].filter((n) => !n.hidden)"
    assert index.run(f"{visible}.length") == 10
    focus(index, "answer-more")
    index.press("Enter")
    assert index.run(f"{visible}.length") == 20
    focus(index, "answer-search")
    for letter in "denpasar":
        index.press(letter)
    assert index.run(f"{visible}.length") == 3
    assert index.run(f"{visible}.every((n) => n.textContent.includes('Denpasar'))")
    index.run("document.getElementById('answer-search').value = ''")
    focus(index, "answer-order")
    index.press("ArrowDown")
    spreads = index.run(f"{visible}.map((n) => Number(n.dataset.spread))")
    assert spreads == sorted(spreads, reverse=True)
    focus(index, "answer-subset")
    index.press("ArrowDown")
    assert len(set(index.run(f"{visible}.map((n) => n.dataset.subset)"))) == 1


def test_the_map_is_read_by_arrow_keys_and_by_pointer(index: Page) -> None:
    focus(index, "map-canvas")
    index.press("ArrowRight")
    first = index.run("document.getElementById('map-text').textContent")
    assert first.startswith("Cluster ")
    index.press("ArrowRight")
    assert index.run("document.getElementById('map-text').textContent") != first
    index.run("document.getElementById('map-canvas').scrollIntoView({behavior: 'instant', block: 'center'})")
    box = "document.getElementById('map-canvas').getBoundingClientRect()"
    left, top, wide, high = index.run(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")
    seen = set()
    for down in (0.2, 0.4, 0.5, 0.6, 0.8):
        for across in (0.2, 0.35, 0.5, 0.65, 0.8):
            x, y = left + across * wide, top + down * high
            index.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
            index.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")  # moves wait for a frame
            seen.add(index.run("document.getElementById('map-text').textContent"))
    assert len(seen) > 3


FRAME = """(() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node = texts.nextNode(); node; node = texts.nextNode())
    if (!node.parentElement.closest('[lang]:not(html), script, style, code, pre, .facts')) found.push(node.data.trim());
  return found;
})()"""
DATA = "[...document.querySelectorAll('[lang]:not(html):not(button)')].map((n) => n.textContent)"


@pytest.mark.parametrize("name", PAGES)
def test_the_switch_puts_the_frame_into_indonesian_and_back(browser: Page, report: Path, name: str) -> None:
    browser.screen(1280, 900, False)
    browser.open(report / name)
    before, data = browser.run(FRAME), browser.run(DATA)
    focus(browser, "language")
    browser.press("Enter")
    after = browser.run(FRAME)
    assert browser.run("document.documentElement.lang") == "id"
    assert browser.run("document.querySelector('h2, h3').textContent") in ("Tiga jawaban", "Ukuran", "Peringatan")
    assert browser.run(DATA) == data  # what was asked, answered and found stays as it is
    numbers = [[re.findall(r"\d+", text) for text in texts] for texts in (before, after)]
    assert numbers[0] == numbers[1]
    words = {one.strip("0123456789 .,%#·-") for one, other in zip(before, after, strict=True) if one == other}
    assert [word for word in words if re.search("[a-z]{3}", word) and not NOT_TRANSLATED.fullmatch(word)] == []
    browser.press("Enter")
    assert browser.run(FRAME) == before
    assert browser.run("document.documentElement.lang") == "en"


def test_the_language_goes_along_to_the_other_pages(browser: Page, report: Path) -> None:
    browser.screen(1280, 900, False)
    browser.open(report / "index.html")
    focus(browser, "language")
    browser.press("Enter")
    address = browser.run("document.querySelector('a[href*=\".html\"]').href")
    assert address.endswith(".html?language=id")
    browser.send("Page.navigate", url=address)
    browser.wait_for("document.documentElement?.lang === 'id'")
    assert browser.run("document.querySelector('nav a').textContent") == "Ringkasan"


def test_everything_is_printed(index: Page) -> None:
    index.run("dispatchEvent(new Event('beforeprint'))")
    assert index.run("[...document.querySelectorAll('article.answer')].every((n) => !n.hidden)")
    index.run("dispatchEvent(new Event('afterprint'))")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "height", "dark"), SCREENS)
def test_nothing_sticks_out_sideways(
    browser: Page, report: Path, name: str, width: int, height: int, dark: bool
) -> None:
    browser.screen(width, height, dark)
    browser.open(report / name)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(AXE is None, reason="$AXE_CORE does not name axe-core's axe.min.js")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "height", "dark"), SCREENS)
def test_axe_finds_no_serious_violation(
    browser: Page, report: Path, name: str, width: int, height: int, dark: bool
) -> None:
    assert AXE is not None
    browser.screen(width, height, dark)
    browser.open(report / name)
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    browser.run(Path(AXE).read_text(encoding="utf-8") + "; true")
    violations = browser.run(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then((found) => "
        "found.violations.map((v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html + n.failureSummary)]))"
    )
    assert [one for one in violations if one[0] in ("serious", "critical")] == []
