"""A scripted attacker on the web page: other origins, rebinding, traversal on every route of gradio's, tabs, sizes.

Needs gradio (the extra `demo`); skipped, saying so, without it.
"""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.conversation import LONGEST_QUESTION
from common.memory import resident_bytes
from tests.support.evaluation import write_tiny_base
from tests.support.imports import LONG
from tests.support.web.serving import running

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is not installed (the extra `demo`)"
)
SECRET = "rahasia-yang-tidak-boleh-keluar"
TABS = 50 if LONG else 6


class Watched:
    """The systems, counting the answers that are being computed."""

    def __init__(self, systems: Any) -> None:
        self._systems, self.answering, self.steps = systems, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._systems, name)

    def answer(self, *arguments: Any) -> Iterator[Any]:
        self.answering += 1
        try:
            for frames in self._systems.answer(*arguments):
                self.steps += 1
                yield frames
        finally:
            self.answering -= 1


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Watched, Any]]:
    from adapters.config import ModelConfig
    from chat.conversation import Conversation
    from chat.page import MOST_BYTES, PATHS, application
    from chat.systems import Systems
    from llada import SamplerConfig

    folder = tmp_path_factory.mktemp("attacked")
    (folder / "gradio").mkdir()
    (folder / "gradio" / "secret.txt").write_text(SECRET)
    systems = Watched(Systems(ModelConfig(), write_tiny_base(folder / "base"), {"base": None}))
    sampling = SamplerConfig(gen_length=128, block_length=8, steps=128, eos_policy="suppress")
    talk: Any = Conversation(("base",), sampling, seed=1)
    app = application(systems, talk, str(folder / "gradio"))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # gradio serves files of the working folder unless it is kept from it
        (folder / "secret.txt").write_text(SECRET)
        with running(app, PATHS, MOST_BYTES) as url:
            yield url, systems, app


@pytest.fixture
def url(attacked: tuple[str, Watched, Any]) -> str:
    return attacked[0]


def routes_of(app: Any) -> set[str]:
    found: set[str] = set()
    for route in app.routes:
        if hasattr(route, "routes") and route.routes:
            found |= {route.path.rstrip("/") + path for path in routes_of(route)}
        elif hasattr(route, "path"):
            found.add(route.path)
        elif hasattr(route, "original_router"):  # included, under gradio's prefix
            found |= {f"/gradio_api{path.removeprefix('/gradio_api')}" for path in routes_of(route.original_router)}
    return found


def targets(app: Any, secret: Path) -> list[str]:
    """Every route of the framework with what an attacker writes into its parameters."""
    inserts = [
        str(secret), f"/{secret}", "../../../../../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "secret.txt", "....//....//etc/passwd", "file:///etc/passwd",
        "http://127.0.0.1:22/", "..\\..\\etc\\passwd", "%00", "a" * 5000,
    ]  # fmt: skip
    found = []
    for path in sorted(routes_of(app)):
        holes = re.findall(r"\{[^}]*\}", path)
        found += [re.sub(r"\{[^}]*\}", lambda _: insert, path) for insert in inserts] if holes else [path]  # noqa: B023
    return found


def test_no_route_gives_a_file_to_anybody(attacked: tuple[str, Watched, Any], tmp_path: Path) -> None:
    url, _, app = attacked
    secret = Path.cwd() / "secret.txt"
    assert secret.read_text() == SECRET
    tried = [target for target in targets(app, secret) if "heartbeat" not in target and "queue/data" not in target]
    assert len(tried) > 100
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        for place, target in enumerate(tried if LONG else tried[::3]):
            for method in ("GET", "POST") if place % 4 == 0 else ("GET",):
                try:
                    answer = client.request(method, target, content=b"{}" if method == "POST" else None)
                except httpx.InvalidURL:
                    continue
                assert answer.status_code < 500, (method, target, answer.text[:300])
                assert SECRET not in answer.text, target
                assert "root:" not in answer.text, target


def test_uploads_proxies_and_editors_are_not_there(url: str) -> None:
    for path in (
        "upload",
        "file=secret.txt",
        "proxy=http://127.0.0.1/",
        "vibe-edit",
        "run/predict",
        "call/answer",
        "stream/x",
    ):
        files = {"files": ("a.txt", b"x" * 100)}
        assert httpx.post(f"{url}/gradio_api/{path}", files=files, trust_env=False).status_code == 404, path
    assert httpx.get(f"{url}/monitoring", trust_env=False).status_code == 404
    assert httpx.get(f"{url}/docs", trust_env=False).status_code == 404


def test_pages_of_others_and_rebound_names_reach_nothing(url: str) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/join"):
        for headers in (
            {"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"},
            {"host": "evil.example", "origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"},
        ):  # fmt: skip
            method = "POST" if path.endswith("join") else "GET"
            answer = httpx.request(method, url + path, headers=headers, trust_env=False)
            assert answer.status_code == 403, (path, headers)
            assert "gradio" not in answer.text


class Tab:
    """What a browser's tab says to gradio."""

    def __init__(self, url: str, session: str) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self.session = session
        config = self.client.get("/config").json()
        self.answer = max(config["dependencies"], key=lambda one: len(one["inputs"]))
        values = {one["id"]: one["props"].get("value") for one in config["components"]}
        self.data = [values.get(number) for number in self.answer["inputs"]]

    def ask(self, question: Any, *changes: tuple[int, Any]) -> httpx.Response:
        data = [question, *self.data[1:]]
        for place, value in changes:
            data[place] = value
        body = {"data": data, "fn_index": self.answer["id"], "session_hash": self.session}
        return self.client.post(
            "/gradio_api/queue/join", content=json.dumps(body), headers={"content-type": "application/json"}
        )

    @contextmanager
    def listen(self) -> Iterator[Iterator[dict[str, Any]]]:
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as answer:
            yield (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))

    def last(self) -> str:
        """The last message of an answer, as text."""
        text = ""
        with self.listen() as messages:
            for message in messages:
                text = json.dumps(message)
                if message["msg"] in ("process_completed", "close_stream", "unexpected_error"):
                    break
        return text


def wait_for_quiet(systems: Watched, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while systems.answering:
        assert time.monotonic() < deadline, f"{systems.answering} answers go on that nobody waits for"
        time.sleep(0.05)


def test_a_closed_tab_ends_its_answer(attacked: tuple[str, Watched, Any]) -> None:
    url, systems, _ = attacked
    tab = Tab(url, "closed1")
    assert tab.ask("Halo?").status_code == 200
    with tab.listen() as messages:
        for message in messages:
            if message["msg"] == "process_generating":
                break
    tab.client.close()
    wait_for_quiet(systems)
    assert systems.steps < 120


def test_long_and_strange_questions_are_refused(attacked: tuple[str, Watched, Any]) -> None:
    url, systems, _ = attacked
    tab = Tab(url, "strange1")
    assert tab.ask("x" * 1_000_000).status_code == 413
    before = systems.steps
    assert tab.ask("x" * (LONGEST_QUESTION + 1)).status_code == 200
    assert "characters, allowed" in tab.last()
    numbers = [place for place, value in enumerate(tab.data) if type(value) is int]
    assert tab.ask("Halo", *((place, 10**6) for place in numbers)).status_code == 200
    assert "allowed" in tab.last()
    assert systems.steps == before
    short = ((2, 8), (4, 8))  # gen_length and steps
    for question in (None, ["a"], {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}):
        if tab.ask(question, *short).status_code == 200:
            said = tab.last()
            assert "Traceback" not in said
            assert "root:" not in said


def test_many_tabs_leave_memory_and_page_as_they_were(attacked: tuple[str, Watched, Any]) -> None:
    url, systems, _ = attacked
    Tab(url, "first1").ask("Halo", (2, 8), (4, 8))
    wait_for_quiet(systems, 60)
    before = resident_bytes() or 0

    def attack(number: int) -> None:
        tab = Tab(url, f"tab{number}")
        assert tab.ask("y" * 300_000).status_code == 413
        tab.ask("kata " * 50)
        with tab.listen() as messages:
            next(messages)
        tab.client.close()

    with ThreadPoolExecutor(TABS) as pool:
        list(pool.map(attack, range(TABS)))
    wait_for_quiet(systems, 60)
    assert (resident_bytes() or 0) <= 1.5 * before
    assert httpx.get(url, trust_env=False).status_code == 200
