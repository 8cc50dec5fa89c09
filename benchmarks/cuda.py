"""Everything that a GPU has to prove, in one command: each part in a process of its own with a time limit of its own.

    python benchmarks/cuda.py --seconds 480 --output benchmarks/results/cuda.json     # 8 minutes on an H100 or H200
    python benchmarks/cuda.py --quick --output quick.json                             # every part on the CPU, toy sizes
    python benchmarks/cuda.py --only sampling --output benchmarks/results/cuda.json   # again, into the same JSON
    python benchmarks/cuda.py --only steps --case bfloat16 --output benchmarks/results/cuda.json
    python -m benchmarks.cuda_parts.report                                            # the JSON as docs/gpu.md

The parts stand in `PARTS`, the most important first. Whatever a part finds is in the JSON as soon as it is found
(replaced whole, never half written), so a part that crashes or hangs, or a machine that is taken away, costs only what
was not measured yet. Exit status 1 when a part crashed or ran out of time, 0 otherwise. Parts for which no time is left
stay "not run".

Needs torch, transformers, peft, accelerate, safetensors, numpy, rich, pydantic; bitsandbytes for what is quantised.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cuda_parts import RESULT
from common.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
TAIL = 20  # lines of a failed part's output that are kept
_TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"/[^/\s]+/")  # names that mean nothing elsewhere
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "bitsandbytes", "triton", "numpy")

EAGER = ("bfloat16", "bfloat16, checkpointing", "NF4, checkpointing")
COMPILED = ("bfloat16, compiled", "bfloat16, checkpointing, compiled")


@dataclass(frozen=True)
class Part:
    """One part: its module in `benchmarks.cuda_parts`, what it answers, and how long it may take."""

    name: str
    purpose: str
    seconds: float
    module: str = ""  # where it is not the name
    cases: tuple[str, ...] = ()  # of the module that are its own; none: all

    def command(self, quick: bool, folder: Path, seconds: float, keep: Path, cases: Sequence[str]) -> list[str]:
        words = [sys.executable, "-m", f"benchmarks.cuda_parts.{self.module or self.name}"]
        words += ["--folder", str(folder), "--seconds", f"{seconds:.0f}", "--keep", str(keep)]
        words += [f"--case={case}" for case in (cases or self.cases)]
        return [*words, "--quick"] if quick else words


PARTS = (
    Part("oracle", "forward pass, loss, gradients, sampler and quantised layers against recorded numbers", 75),
    Part("steps", "a training step at 8 B shape against the plain recipe", 100, cases=EAGER),
    Part("trainer", "50 steps of each method by `accelerate launch` at 8 B shape, and the memory estimate", 175),
    Part("sampling", "100 prompts of 128 tokens, 128 new tokens", 110),
    Part("resume", "kill and resume; two processes on one device", 90),
    Part("t4", "float16, NF4 and the kernels of a T4 within 15 GB", 100),
    Part("compiled", "the training step with `torch.compile`", 120, "steps", COMPILED),
    Part("base", "the bundled base read on for the time that is left, kept if it is better than the shipped one", inf),
)


class Record:
    """The JSON file: every change replaces it whole."""

    def __init__(self, path: Path, parts: Sequence[Part], quick: bool, only: Sequence[str]) -> None:
        self.path = path
        old: dict[str, Any] = read_json(path) if only and path.is_file() else {}
        if old and old.get("quick") != quick:
            raise SystemExit(f"{path}: {'not ' if quick else ''}from --quick; take another --output")
        self.content = {
            "command": " ".join(["python benchmarks/cuda.py", *sys.argv[1:]]),
            "quick": quick,
            "started": now(),
            "machine": machine(),
            "parts": {part.name: old.get("parts", {}).get(part.name, not_run(part)) for part in parts},
        }
        self.save()

    def set(self, name: str, **values: Any) -> None:
        self.content["parts"][name] |= values
        self.save()

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Add a result of a part; it takes the place of an older one of its name."""
        part = self.content["parts"][name]
        others = [one for one in part["results"] if one["name"] != result["name"]]
        part["results"] = [*others, result | {"at": now()}]
        self.save()

    def save(self) -> None:
        write_json(self.path, self.content)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def not_run(part: Part) -> dict[str, Any]:
    return {"purpose": part.purpose, "status": "not run", "seconds": None, "results": [], "error": None}


def machine() -> dict[str, Any]:
    """Card, driver and versions, without loading torch: this process must not hold a piece of the GPU."""
    found: dict[str, Any] = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        found["gpu"] = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    return found


def run_part(part: Part, command: list[str], limit: float, record: Record) -> bool:
    """Run one part in a process group of its own; kill the group when its time is over. Whether it ended well."""
    began, before, tail = time.perf_counter(), processor_seconds(), deque[str](maxlen=TAIL)
    before_this = record.content["parts"][part.name]["results"]
    fresh = not_run(part) | {"status": "running", "limit_seconds": round(limit), "results": before_this}
    record.set(part.name, **fresh)
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(python_path())}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", start_new_session=True,
    )  # fmt: skip
    over = threading.Event()
    timer = threading.Timer(limit, lambda: (over.set(), end_group(process)))
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            take(line, part, record, tail)
        status = process.wait()
    finally:
        timer.cancel()
        end_group(process)  # what the part itself started and left behind
    fault = f"exceeded its {limit:.0f} s" if over.is_set() else f"exit status {status}" if status else None
    error = None if fault is None else "\n".join([fault, *tail])
    outcome = "done" if fault is None else "timed out" if over.is_set() else "failed"
    seconds, busy = round(time.perf_counter() - began, 1), round(processor_seconds() - before, 1)
    record.set(part.name, status=outcome, seconds=seconds, processor_seconds=busy, error=error)
    print(f"== {part.name}: {outcome} after {time.perf_counter() - began:.0f} s", flush=True)
    return fault is None


def processor_seconds() -> float:
    """Of all processes that this one has started and that ended; on a shared machine they say more than the clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def take(line: str, part: Part, record: Record, tail: deque[str]) -> None:
    """A line of a part's output: a result, or something to show."""
    print(f"{part.name}: {line}", end="", flush=True)
    if line.startswith(RESULT):
        record.add(part.name, json.loads(line.removeprefix(RESULT)))
    elif line.strip():
        tail.append(_TEMPORARY.sub("", line.rstrip())[:400])


def end_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [str(ROOT), *([given] if given else [])]


def kept(output: Path) -> Path:
    """Beside the JSON: where a part leaves what is to outlast the command."""
    return output.with_name(f"{output.stem}-base")


def run(
    parts: Sequence[Part], record: Record, quick: bool, folder: Path, seconds: float, cases: Sequence[str] = ()
) -> int:
    """Run the parts one after the other within `seconds` in all; the exit status."""
    end, good = time.perf_counter() + seconds, True
    for part in parts:
        limit = min(seconds / 2 if quick else part.seconds, end - time.perf_counter())
        if limit < 5:
            print(f"== {part.name}: not run, no time is left", flush=True)
            record.set(part.name, error="no time was left")
            continue
        command = part.command(quick, folder / part.name, limit, kept(record.path), cases)
        good &= run_part(part, command, limit, record)
    return 0 if good else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every part on the CPU at toy size")
    parser.add_argument("--only", action="append", choices=[part.name for part in PARTS], default=[], help="repeatable")
    parser.add_argument("--case", action="append", default=[], help="results of these names alone; repeatable")
    parser.add_argument("--seconds", type=float, default=480, help="for all parts together (default 480)")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="the JSON file; with --only what it holds stays until it is measured again",
    )
    options = parser.parse_args()
    output = options.output.absolute()
    record = Record(output, PARTS, options.quick, options.only)
    chosen = [part for part in PARTS if not options.only or part.name in options.only]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        status = run(chosen, record, options.quick, Path(folder), options.seconds, options.case)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
