"""The server under many requests: seconds, tokens per second, and whether the process's memory stays flat.

    python benchmarks/serving.py --artifacts artifacts/mini --method lora --requests 1000 --clients 50

Starts `python -m pipeline serve` with these artefacts, asks in waves from so many clients at once (a fifth as streams,
half of them given up after the first block; a tenth wrong), and reads the server's resident memory after every wave.
Flat means that the last reading is within 5 percent of that after the first fifth. Prints JSON, and writes it with
--output.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

QUESTIONS = (
    "Apa ibu kota Jawa Barat?",
    "Di pulau mana kota Medan berada?",
    "Tulis satu kalimat tentang hujan.",
    "Halo!",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, required=True)
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()

    command = [sys.executable, "-m", "pipeline", "serve", "--port", "0", "--method", options.method]
    command += ["--profile", options.profile, "--artifacts", str(options.artifacts), "--queue", str(options.clients)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"at (http://\S+)/v1", server.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        result = measure(found[1], server.pid, options)
    finally:
        server.terminate()
        server.wait(20)
    print(json.dumps(result, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(url: str, process: int, options: argparse.Namespace) -> dict[str, Any]:
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
    settled = resident[len(resident) // 5 :]
    return {
        "requests": options.requests, "clients": options.clients, "max_tokens": options.max_tokens,
        "method": options.method, "statuses": statuses, "seconds": wall,
        "seconds_per_request": {"median": statistics.median(seconds), "largest": max(seconds)},
        "answer_tokens_per_second": tokens / wall, "resident_bytes": resident,
        "growth_after_the_first_fifth": settled[-1] / settled[0] - 1, "flat": settled[-1] <= 1.05 * settled[0],
        "left_over": idle,
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


def resident_of(process: int) -> int:
    """Bytes of a process that are resident (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


if __name__ == "__main__":
    main()
