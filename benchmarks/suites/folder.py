"""Every public test file of a folder on the bundled base: is it read, is it scored, how long does it take?

    python benchmarks/suites/folder.py --data FOLDER --limit 20 --whole letter --output benchmarks/results/suites.json

A file's suite is found by trying all of them. `--limit` questions of each are scored by all three rules; the rules
named by `--whole` then score every question. Files that are no multiple choice are listed with the reason.

A run goes on where one with the same `--output` stopped: with what stands there, and with the questions in `--journal`
(of a file that was scored in several runs the seconds are not known).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from adapters.config import ModelConfig
from common.errors import InputError
from common.files import write_json
from eval.config import SCORINGS, TASK_KINDS, TaskConfig
from eval.measure.evaluate import load_system
from eval.suites.formats import SUITES, read_suite
from eval.suites.results import READINGS
from eval.suites.run import run_task
from eval.suites.task import read_task

BASE = Path(__file__).resolve().parents[2] / "data_prep" / "bundled" / "base"


def kind_of(path: Path) -> str | None:
    """The suite with the most columns of which every row of the file, or nearly, is one."""
    found = []
    for kind in TASK_KINDS:
        try:
            suite = read_suite(kind, path)
        except InputError:
            continue
        if suite.damaged * 10 <= len(suite.questions):
            found.append((len(SUITES[kind].columns), kind))
    return max(found)[1] if found else None


def timed(
    system: tuple[Any, Any],
    path: Path,
    kind: str,
    scoring: str,
    samples: int,
    limit: int | None,
    journal: Path | None = None,
) -> dict[str, Any]:
    task = read_task(
        TaskConfig.model_validate(
            {"name": path.stem, "file": str(path), "kind": kind, "limit": limit, "scorings": [scoring]}
        )
    )
    resumed = journal is not None and journal.is_dir() and any(journal.iterdir())
    before = time.process_time()
    result = run_task(*system, task, samples=samples, seed=0, journal=journal, about="bundled base").result
    seconds = time.process_time() - before
    readings = {key: result[key] for key in READINGS if key in result}
    return {
        "questions": result["n"],
        "cut": result["cut"],
        "cpu_seconds_per_100": None if resumed else round(100 * seconds / result["n"], 2),
        "chance": result["chance"],
        **{key: [one["value"], one["low"], one["high"]] for key, one in readings.items()},
    }


def begin(system: tuple[Any, Any], path: Path, kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the first questions of a file take, and what all would."""
    questions = len(read_suite(kind, path).questions)
    first = {one: timed(system, path, kind, one, arguments.samples, arguments.limit) for one in SCORINGS}
    rate = sum(one["cpu_seconds_per_100"] for one in first.values())
    return {
        "suite": kind,
        "questions": questions,
        "first": first,
        "whole": {},
        "cpu_seconds_per_100": round(rate, 2),
        "cpu_seconds_for_all_estimated": round(rate * questions / 100, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--whole", nargs="*", default=[], choices=SCORINGS)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--journal", type=Path, default=None, help="a folder for the questions of an unfinished file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    system = load_system(ModelConfig(), BASE, None)
    content: dict[str, Any] = {"base": "bundled", "likelihood_samples": arguments.samples, "threads": 1, "files": {}}
    if arguments.output.is_file():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))
        if before["likelihood_samples"] != arguments.samples:
            sys.exit(f"{arguments.output}: of a run with other --samples; give --output another name")
        content["files"] = before["files"]
    for path in sorted(path for path in arguments.data.iterdir() if path.is_file()):
        row = content["files"].get(path.name)
        kind = kind_of(path) if row is None else row["suite"]
        if kind is None:
            content["files"][path.name] = {"suite": None, "reason": "no suite's columns"}
            continue
        if row is None:
            row = content["files"][path.name] = begin(system, path, kind, arguments)
        for scoring in arguments.whole:
            if scoring not in row["whole"]:
                row["whole"][scoring] = timed(system, path, kind, scoring, arguments.samples, None, arguments.journal)
                write_json(arguments.output, content)
    write_json(arguments.output, content)


if __name__ == "__main__":
    main()
