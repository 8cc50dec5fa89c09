"""What both benchmarks of a served conversation share: the command started, its memory read, and whether it is flat."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FLAT = 0.02
"""The memory's last reading may lie so far above the one after the first fifth of the requests."""
QUESTIONS = (
    "Apa ibu kota Jawa Barat?",
    "Di pulau mana kota Medan berada?",
    "Tulis satu kalimat tentang hujan.",
    "Halo!",
)


def parser(about: str | None) -> argparse.ArgumentParser:
    """The command line that both have."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--artifacts", type=Path, required=True)
    made.add_argument("--profile", default="mini")
    made.add_argument("--method", default="lora")
    made.add_argument("--requests", type=int, default=1000)
    made.add_argument("--output", type=Path, default=None)
    return made


def run(
    options: argparse.Namespace, command: Sequence[str], told: str, measure: Callable[[str, int], dict[str, Any]]
) -> None:
    """Start `python -m pipeline COMMAND` on a free port, measure it, and print or write what came of it.

    Args:
        told: pattern of the line with which it tells its address. measure: of (address, process).
    """
    whole = [sys.executable, "-m", "pipeline", *command, "--port", "0", "--method", options.method]
    whole += ["--profile", options.profile, "--artifacts", str(options.artifacts)]
    server = subprocess.Popen(whole, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(told, server.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        result = measure(found[1], server.pid)
    finally:
        server.terminate()
        server.wait(20)
    print(json.dumps(result, indent=2))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def growth(resident: Sequence[int]) -> dict[str, Any]:
    """The readings, taken at even distances, and how the last compares with that after the first fifth."""
    first = resident[max(0, len(resident) // 5 - 1)]
    more = resident[-1] / first - 1
    return {"resident_bytes": list(resident), "growth_after_the_first_fifth": more, "flat": more <= FLAT}


def resident_of(process: int) -> int:
    """Bytes of a process that are resident (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
