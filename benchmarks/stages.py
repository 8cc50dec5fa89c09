"""Seconds and peak memory of every stage of the pipeline, each run as its own process.

    python benchmarks/stages.py --artifacts /tmp/stages --output benchmarks/results/stages_mini.json
    python benchmarks/stages.py --artifacts /tmp/real --set data.source=FOLDER --set data.per_cluster=1000 --output ...

Prints its settings and one row per stage, and writes both as JSON. The peak is the largest resident set of one
process of the stage (ru_maxrss of wait4, which counts from what this small program holds), the seconds are wall-clock,
process start included. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.memory import rusage_peak_bytes

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_STAGES = ("inputs", "select", "embed", "cluster", "split", "format")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--artifacts", type=Path, required=True, help="an empty folder for what the stages write")
    parser.add_argument("--methods", default="lora,loraplus,pissa", help="adapters to train and evaluate; empty: none")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()

    options = ["--profile", arguments.profile, "--artifacts", str(arguments.artifacts)]
    options += [word for override in arguments.overrides for word in ("--set", override)]
    settings = {
        "profile": arguments.profile,
        "overrides": [hide_folder(override) for override in arguments.overrides],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
    print(json.dumps(settings))
    stages = [measure(name, command + options) for name, command in commands(arguments.methods)]
    total = {
        "stage": "total",
        "seconds": round(sum(row["seconds"] for row in stages), 1),
        "peak_mb": max(row["peak_mb"] for row in stages),
    }
    print(f"{total['stage']:22} {total['seconds']:8.1f} s {total['peak_mb']:8.0f} MB")
    if arguments.output:
        arguments.output.write_text(
            json.dumps({"settings": settings, "stages": [*stages, total]}, indent=2) + "\n", encoding="utf-8"
        )


def commands(methods: str) -> list[tuple[str, list[str]]]:
    """Name and command of every stage, in order."""
    chosen = [name for name in methods.split(",") if name]
    pipeline = [sys.executable, "-m", "pipeline"]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "train_adapter.py"]
    rows = [(name, [*pipeline, name]) for name in DATA_STAGES]
    rows += [(f"train@{name}", [*launch, "--method", name]) for name in chosen]
    if chosen:
        rows += [(f"evaluate@{name}", [*pipeline, "evaluate", "--method", name]) for name in ("base", *chosen)]
        rows.append(("report", [*pipeline, "report"]))
    return rows


def measure(name: str, command: list[str]) -> dict[str, Any]:
    """Run one stage to its end; exit with its status if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        print(errors, file=sys.stderr)
        sys.exit(f"stage {name} failed with status {os.waitstatus_to_exitcode(status)}")
    row = {"stage": name, "seconds": round(seconds, 1), "peak_mb": round(rusage_peak_bytes(usage) / 2**20)}
    print(f"{name:22} {row['seconds']:8.1f} s {row['peak_mb']:8.0f} MB", flush=True)
    return row


def hide_folder(override: str) -> str:
    """A folder of this machine by its last name only."""
    key, _, value = override.partition("=")
    return f"{key}={Path(value).name}" if value.startswith("/") else override


if __name__ == "__main__":
    main()
