"""The web page under many questions, and whether the process's memory stays flat.

    python benchmarks/serving/page.py --artifacts artifacts/mini --method lora --requests 1000

Starts `python -m pipeline demo` with these artefacts and says what a browser says: a tab loads the page's
configuration, keeps its heartbeat open, asks ten questions one after the other and
is closed; the next one opens. The page's resident memory is read after every fifty questions. Flat means that the last
reading is within 2 percent of that after the first fifth. Prints JSON, and writes it with --output. Needs the extra
demo.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.serving.started import QUESTIONS, growth, parser, resident_of, run

A_TAB = 10  # questions
EVERY = 50  # questions between two readings


class Tab:
    """A browser's tab, open within `with`."""

    def __init__(self, url: str, session: str, trust: ssl.SSLContext) -> None:
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=120, verify=trust)
        self.session = session

    def __enter__(self) -> Tab:
        self.stack = ExitStack()
        self.stack.enter_context(self.client)
        self.client.get("/").raise_for_status()
        config = self.client.get("/config").json()
        answer = max(config["dependencies"], key=lambda one: len(one["inputs"]))
        values = {one["id"]: one["props"].get("value") for one in config["components"]}
        self.function, self.data = answer["id"], [values.get(number) for number in answer["inputs"]]
        self.stack.enter_context(self.client.stream("GET", f"/gradio_api/heartbeat/{self.session}"))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def ask(self, question: str) -> str:
        """What the last message says of the answer: `process_completed` where all went well."""
        body = {"data": [question, *self.data[1:]], "fn_index": self.function, "session_hash": self.session}
        self.client.post("/gradio_api/queue/join", json=body).raise_for_status()
        last = "nothing"
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: ") and (message := json.loads(line[6:]))["msg"] != "close_stream":
                    last = message["msg"] if message.get("success", True) else "failed"
        return last


def main() -> None:
    asked = parser(__doc__)
    asked.add_argument("--gen-length", type=int, default=8)
    options = asked.parse_args()
    length = str(options.gen_length)
    command = ["demo", "--gen-length", length, "--block-length", length, "--steps", length]
    run(options, command, r"open (http://\S+?)/? in", partial(measure, options))


def measure(options: argparse.Namespace, url: str, process: int) -> dict[str, Any]:
    """Ask from one tab after the other, and read the memory on the way."""
    resident, statuses = [], dict[str, int]()
    trust = ssl.create_default_context()
    begun = time.perf_counter()
    for start in range(0, options.requests, A_TAB):
        with Tab(url, f"session{start}", trust) as tab:
            for number in range(start, min(start + A_TAB, options.requests)):
                status = tab.ask(f"{QUESTIONS[number % len(QUESTIONS)]} ({number})")
                statuses[status] = statuses.get(status, 0) + 1
                if number % EVERY == EVERY - 1:
                    resident.append(resident_of(process))
                    print(f"{number + 1} questions, {resident[-1] / 2**20:.1f} MiB", file=sys.stderr, flush=True)
    return {
        "requests": options.requests, "gen_length": options.gen_length, "method": options.method,
        "statuses": statuses, "seconds": time.perf_counter() - begun, **growth(resident),
    }  # fmt: skip


if __name__ == "__main__":
    main()
