"""The server under many requests: seconds, tokens per second, and whether the process's memory stays flat.

    python benchmarks/serving/server.py --artifacts artifacts/mini --method lora --requests 1000 --clients 50

Starts `python -m pipeline serve` with these artefacts, asks in waves from so many clients at once (a fifth as streams,
half of them given up after the first block; a tenth wrong), and reads the server's resident memory after every wave.
Flat means that the last reading is within 2 percent of that after the first fifth. Prints JSON, and writes it with
--output.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.serving.started import QUESTIONS, growth, parser, resident_of, run


def main() -> None:
    asked = parser(__doc__)
    asked.add_argument("--clients", type=int, default=50)
    asked.add_argument("--max-tokens", type=int, default=16)
    options = asked.parse_args()
    command = ["serve", "--queue", str(options.clients)]
    run(options, command, r"at (http://\S+)/v1", partial(measure, options))


def measure(options: argparse.Namespace, url: str, process: int) -> dict[str, Any]:
    """Ask in waves, and read the memory after each."""
    resident, seconds, tokens = [], [], 0
    statuses: dict[str, int] = {}
    begun = time.perf_counter()
    with httpx.Client(base_url=url, timeout=600, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        for wave in range(-(-options.requests // options.clients)):
            numbers = range(wave * options.clients, min(options.requests, (wave + 1) * options.clients))
            with ThreadPoolExecutor(options.clients) as pool:
                for status, took, count in pool.map(lambda number: ask(client, number, options), numbers):
                    statuses[status] = statuses.get(status, 0) + 1
                    seconds.append(took)
                    tokens += count
            resident.append(resident_of(process))
            print(f"{len(seconds)} requests, {resident[-1] / 2**20:.0f} MiB", file=sys.stderr, flush=True)
        wall = time.perf_counter() - begun
        idle = client.get("/health").json()
    return {
        "requests": options.requests, "clients": options.clients, "max_tokens": options.max_tokens,
        "method": options.method, "statuses": statuses, "seconds": wall,
        "seconds_per_request": {"median": statistics.median(seconds), "largest": max(seconds)},
        "answer_tokens_per_second": tokens / wall, **growth(resident), "left_over": idle,
    }  # fmt: skip


def ask(client: httpx.Client, number: int, options: argparse.Namespace) -> tuple[str, float, int]:
    """(what came of it, seconds, answer tokens) of one request."""
    body: dict[str, Any] = {
        "model": ("base", options.method)[number % 2], "seed": number, "max_tokens": options.max_tokens,
        "temperature": 0.5, "messages": [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}],
    }  # fmt: skip
    begun = time.perf_counter()
    if number % 10 == 9:
        body["temperature"] = "hot"
    if number % 5 == 1:
        with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as answer:
            for line in answer.iter_lines():
                if number % 10 == 1 and "content" in line:
                    return "left", time.perf_counter() - begun, 0
        return f"stream {answer.status_code}", time.perf_counter() - begun, 0
    answer = client.post("/v1/chat/completions", json=body)
    count = answer.json()["usage"]["completion_tokens"] if answer.status_code == 200 else 0
    return str(answer.status_code), time.perf_counter() - begun, count


if __name__ == "__main__":
    main()
