"""The stage `select` at Cendol's full size: seconds, peak memory, exactness of the funnel, sameness of the result.

    python benchmarks/select_rows.py make ROWS_FOLDER BIG_FOLDER --rows 12810390 --files 23
    python benchmarks/select_rows.py run BIG_FOLDER [--threads 2] [--keep-duplicates] [--fraction 0.03] [--output JSON]
    python benchmarks/select_rows.py same ROWS_FOLDER [--runner local --runner ray] [--output JSON]

`same` selects from 1, 2 and 23 files with 1 and 2 threads, on each runner named, and compares the bytes. `--output`
adds the figures to a JSON file.

ROWS_FOLDER holds parquet files in Cendol v2's columns; `make` repeats its rows in the proportions of the real
collection. Each repetition of a row carries its number in input and output, so that it is a row of its own; safety
and identity prompts are repeated as they are, as in the original. The expected funnel is counted on the way,
without daft.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import read_json, sha256_of_file, sha256_of_json, write_json
from common.memory import peak_resident_bytes
from data_prep.config import INDONESIAN_SUBSETS, DataConfig
from data_prep.rows.text import COLUMNS

REAL_ROWS = {
    "wikipedia_id": 6_069_267,
    "indo_puisi": 144_460,
    "wikihow": 97_848,
    "safety_prompt": 93_500,
    "dolly": 75_055,
    "identity_prompt": 62_500,
}
REAL_TOTAL = 12_810_390
REPEATED = ("safety_prompt", "identity_prompt")
EXPECTED = "expected.json"


def make(source: Path, target: Path, rows: int, files: int) -> None:
    """Write `rows` rows in `files` parquet files, and the funnel they must give."""
    table = pa.concat_tables([pq.read_table(path, columns=list(COLUMNS)) for path in sorted(source.glob("*.parquet"))])
    wanted = {subset: count * rows // REAL_TOTAL for subset, count in REAL_ROWS.items()}
    parts = [(subset, table.filter(pc.equal(table["subset_name"], subset))) for subset in wanted]
    others = table.filter(pc.invert(pc.is_in(table["subset_name"], pa.array(INDONESIAN_SUBSETS))))
    parts.append(("others", others))
    wanted["others"] = rows - sum(wanted.values())
    target.mkdir(parents=True, exist_ok=True)
    expected = {"rows": rows, "in_subsets": 0, "not_null": 0, "unique": 0}
    writers = [pq.ParquetWriter(target / f"train-{number:05d}.parquet", table.schema) for number in range(files)]
    turn = 0
    for subset, own in parts:
        left, copy, pairs = wanted[subset], 0, set()
        while left > 0:
            chunk = own.slice(0, min(left, own.num_rows))
            numbered = chunk if subset in REPEATED else number_rows(chunk, copy)
            for start in range(0, numbered.num_rows, 20_000):
                writers[turn % files].write_table(numbered.slice(start, 20_000))
                turn += 1
            if subset != "others":
                complete = chunk.filter(pc.and_(pc.is_valid(chunk["input"]), pc.is_valid(chunk["output"])))
                expected["in_subsets"] += chunk.num_rows
                expected["not_null"] += complete.num_rows
                found = set(zip(complete["input"].to_pylist(), complete["output"].to_pylist(), strict=True))
                expected["unique"] += len(found - pairs) if subset in REPEATED else len(found)
                pairs |= found
            left, copy = left - chunk.num_rows, copy + 1
    for writer in writers:
        writer.close()
    write_json(target / EXPECTED, expected)
    size = sum(path.stat().st_size for path in target.glob("*.parquet"))
    print(f"{rows:,} rows, {files} files, {size / 1e9:.2f} GB; expected {expected}")


def number_rows(table: pa.Table, copy: int) -> pa.Table:
    """The rows with the copy's number behind input and output."""
    for name in ("input", "output"):
        text = pc.binary_join_element_wise(table[name], str(copy), " ")
        table = table.set_column(table.schema.get_field_index(name), name, text)
    return table


def run_once(folder: Path, threads: int, settings: dict[str, Any], output: Path) -> dict[str, Any]:
    """`select` in a process of its own."""
    command = [sys.executable, __file__, "child", str(folder), str(output), str(threads), json.dumps(settings)]
    started = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    return {**json.loads((output / "peak.json").read_text()), "seconds": round(seconds, 1)}


def child(folder: Path, output: Path, threads: int, settings: dict[str, Any]) -> None:
    import daft

    from data_prep.select.selection import select

    if settings.get("runner", "local") == "local":
        daft.set_runner_native(num_threads=threads)
    files = sorted(folder.glob("*.parquet"))
    facts, candidates = output / "select.json", output / "candidates.parquet"
    select(DataConfig(**settings), files=files, seed=42, candidates=candidates, facts=facts)
    write_json(output / "peak.json", {"peak_gb": round(peak_resident_bytes() / 1e9, 2)})


def run(folder: Path, threads: int, fraction: float, keep_duplicates: bool, results: Path | None) -> bool:
    """Measure one selection; True where every count of the funnel is as expected."""
    settings = {"sample_fraction": fraction, "deduplicate": not keep_duplicates}
    with tempfile.TemporaryDirectory() as name:
        output = Path(name)
        measured = run_once(folder, threads, settings, output)
        found = json.loads((output / "select.json").read_text())["total"]
    expected = json.loads((folder / EXPECTED).read_text())
    if keep_duplicates:
        expected["unique"] = expected["not_null"]
    wrong = {step: (found[step], count) for step, count in expected.items() if found[step] != count}
    whole = found["in_subsets"] if keep_duplicates else found["unique"]
    if found["sampled"] != int(fraction * whole + 0.5):
        wrong["sampled"] = (found["sampled"], fraction * whole)
    print("funnel exact" if not wrong else f"funnel WRONG (found, expected): {wrong}")
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    facts = {**settings, "threads": threads, "parquet_gb": round(size / 1e9, 2), **measured, "funnel": found}
    print({**facts, "funnel_exact": not wrong})
    case = f"{found['rows']:,} rows, {'duplicates kept' if keep_duplicates else 'de-duplicated'}"
    add_result(results, "runs", {case: {**facts, "funnel_exact": not wrong}})
    return not wrong


def add_result(path: Path | None, section: str, facts: dict[str, Any]) -> None:
    """Add `facts` to a section of the results file, beside what earlier commands wrote there."""
    if path is None:
        return
    results = json.loads(path.read_text()) if path.exists() else {}
    results["environment"] = {
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)),
        **{package: version(package) for package in ("daft", "pyarrow")},
    }
    results.setdefault(section, {}).update(facts)
    write_json(path, results)


def same(source: Path, runners: list[str], results: Path | None) -> bool:
    """Select from the same rows in 1, 2 and 23 files, with 1 and 2 threads, and compare the bytes."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(source.glob("*.parquet"))])
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        for files in (1, 2, 23):
            folder = Path(name) / str(files)
            folder.mkdir()
            for number in range(files):  # every file takes every files-th row: another order each time
                own = table.take(pa.array(range(number, table.num_rows, files)))
                pq.write_table(own, folder / f"{number:02d}.parquet", row_group_size=7919)
            for runner in runners:
                for threads in (1, 2) if runner == "local" else (2,):
                    output = Path(name) / "output"
                    output.mkdir(exist_ok=True)
                    run_once(folder, threads, {"sample_fraction": 0.1, "runner": runner}, output)
                    facts = read_json(output / "select.json")
                    del facts["files"]  # which tells of the files that were read
                    contents = [sha256_of_file(output / "candidates.parquet"), sha256_of_json(facts)]
                    digest = hashlib.sha256("".join(contents).encode()).hexdigest()[:16]
                    digests[f"{files} files, {threads} threads, {runner}"] = digest
    for case, digest in digests.items():
        print(f"{digest}  {case}")
    equal = len(set(digests.values())) == 1
    print("the same bytes" if equal else "DIFFERENT")
    add_result(results, "same", {f"{table.num_rows:,} rows": {"equal": equal, "digests": digests}})
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make")
    maker.add_argument("source", type=Path)
    maker.add_argument("target", type=Path)
    maker.add_argument("--rows", type=int, default=REAL_TOTAL)
    maker.add_argument("--files", type=int, default=23)
    runner = commands.add_parser("run")
    runner.add_argument("folder", type=Path)
    runner.add_argument("--threads", type=int, default=2)
    runner.add_argument("--fraction", type=float, default=0.03)
    runner.add_argument("--keep-duplicates", action="store_true")
    runner.add_argument("--output", type=Path)
    comparer = commands.add_parser("same")
    comparer.add_argument("source", type=Path)
    comparer.add_argument("--runner", action="append", choices=("local", "ray"))
    comparer.add_argument("--output", type=Path)
    inner = commands.add_parser("child")
    for name, kind in (("folder", Path), ("output", Path), ("threads", int), ("settings", json.loads)):
        inner.add_argument(name, type=kind)
    arguments = parser.parse_args()
    good = True
    if arguments.command == "make":
        make(arguments.source, arguments.target, arguments.rows, arguments.files)
    elif arguments.command == "run":
        settings = (arguments.threads, arguments.fraction, arguments.keep_duplicates)
        good = run(arguments.folder, *settings, arguments.output)
    elif arguments.command == "same":
        good = same(arguments.source, arguments.runner or ["local"], arguments.output)
    else:
        child(arguments.folder, arguments.output, arguments.threads, arguments.settings)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
