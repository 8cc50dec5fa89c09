"""The JSON of `benchmarks/cuda.py` as docs/gpu.md: every figure beside its bar and its floor, and what was not run.

python -m benchmarks.cuda_parts.report > docs/gpu.md
python -m benchmarks.cuda_parts.report --input OTHER.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.cuda import PARTS, not_run
from common.files import read_json

RESULTS = Path(__file__).resolve().parents[1] / "results" / "cuda.json"
NOT_RUN = "not run"
NOTES = (
    "A random network's answers and losses mean nothing: it is never sure, so the threshold rule commits one token a",
    'step, and "as the exact one" is chance. Rows with an older time were measured before what the newer ones led to.',
)
TITLES = {
    "oracle": "The published model's numbers",
    "steps": "A training step",
    "trainer": "The trainer",
    "sampling": "Sampling",
    "resume": "Kill and resume, two processes",
    "t4": "The T4's path on this card",
    "compiled": "A compiled training step",
    "base": "The bundled base, read on",
}


@dataclass(frozen=True)
class Row:
    """A line of a table: a figure of a part's result, what is asked of it, and what the hardware allows."""

    part: str
    result: str
    label: str
    figure: Callable[[dict[str, Any]], float | bool | None]
    unit: str = ""
    bar: str = ""
    floor: Callable[[dict[str, Any]], float | None] | None = None


def step_rows() -> Iterator[Row]:
    """Speeds with the ceiling that the card's measured matrix product sets."""
    bars = {
        "bfloat16": "16,000 on an H100, 18,000 on an H200",
        "bfloat16, checkpointing": "13,000",
        "NF4, checkpointing": "",
        "bfloat16, compiled": "16,000 on an H100, 18,000 on an H200",
        "bfloat16, checkpointing, compiled": "13,000",
    }

    def ceiling(result: dict[str, Any]) -> float | None:
        theory = result["theory"]
        measured = theory.get("measured_matrix_flop_per_second")
        return measured / theory["executed_flop_per_token"] if measured else None

    for name, bar in bars.items():
        part = "compiled" if name.endswith("compiled") else "steps"
        yield Row(part, name, f"{name}: tokens/s", lambda r: r["this"]["tokens_per_second"], "", bar, ceiling)
        peak = "16 GB" if name.startswith("NF4") else ""
        yield Row(part, name, f"{name}: peak memory", lambda r: r["this"].get("peak_gib"), "GiB", peak)
        yield Row(part, name, f"{name}: MFU", lambda r: r["theory"].get("model_flop_utilisation"))
    plain = "over the plain recipe in the same process: speed"
    yield Row("steps", "bfloat16", plain, lambda r: r["ratios"].get("speed_over_b"), "times", "1.5")


def trainer_rows() -> Iterator[Row]:
    for method in ("pissa", "lora", "loraplus"):
        yield Row("trainer", method, f"{method}: tokens/s", lambda r: r.get("tokens_per_second"))
        yield Row(
            "trainer",
            method,
            f"{method}: memory, estimated over measured − 1",
            lambda r: r.get("estimate_error"),
            "",
            "0.1",
        )
    yield Row("trainer", "pissa", "PiSSA's initialisation", lambda r: r.get("attach_seconds"), "s", "60")


def sampling_rows() -> Iterator[Row]:
    bars = {"exact": "80", "prefix": "30", "dual": "16"}
    for name in ("exact", "prefix", "dual", "threshold, dual", "dual, 3 tokens a step"):
        floor = lambda r: r.get("floor_seconds_for_all")  # noqa: E731
        yield Row(
            "sampling", name, f"{name}: 100 prompts", lambda r: r["seconds_for_all"], "s", bars.get(name, ""), floor
        )
        if name != "exact":
            yield Row("sampling", name, f"{name}: tokens as the exact one", lambda r: r["agreement"])
    for name in ("dual, batch 1", "dual, 3 tokens a step, batch 1"):
        yield Row("sampling", name, f"{name}: tokens/s", lambda r: r["committed_per_second"])


def oracle_rows() -> Iterator[Row]:
    for dtype, measures in (
        ("float32", ("logits", "loss", "gradients")),
        ("bfloat16", ("logits", "loss", "head gradient")),
    ):
        for what in measures:
            yield Row("oracle", f"{what}, {dtype}", f"{what}, {dtype}: error", lambda r: r["error"])
        yield Row("oracle", f"sampler, {dtype}", f"sampler, {dtype}: tokens as published", lambda r: r["equal_tokens"])
    for name in ("nf4 layer, bfloat16", "nf4 layer, float16", "int8 layer, float16"):
        yield Row("oracle", name, f"{name}: error against its dequantised weights", lambda r: r["relative_error"])


def other_rows() -> Iterator[Row]:
    kill = "kill and resume"
    yield Row("resume", kill, "adapter of a killed run, relative difference", lambda r: r.get("resumed"))
    yield Row("resume", kill, "adapter of an undisturbed repetition", lambda r: r.get("repeated"))
    yield Row(
        "resume",
        "two processes",
        "two processes: largest difference of a loss",
        lambda r: r.get("largest_loss_difference"),
        "",
        "1e-5",
    )
    for micro in (8, 1):
        name = f"micro-batch {micro}"
        yield Row("t4", name, f"{name}: tokens/s", lambda r: r.get("tokens_per_second"))
        yield Row("t4", name, f"{name}: peak memory", lambda r: r.get("measured_gib"), "GiB", "15 GB")
        yield Row("t4", name, f"{name}: losses are finite", lambda r: r.get("finite"))
    yield Row("base", "shipped", "shipped base: bound, nats per token", lambda r: r["bound"])
    yield Row("base", "read on", "tokens read beyond its own", lambda r: r["tokens"])
    yield Row("base", "read on", "bound after them", lambda r: r["bound"])
    yield Row("base", "read on", "difference of the bounds", lambda r: r["difference"]["difference"])
    yield Row("base", "read on", "its 95% interval ends below zero: kept", lambda r: r["better"])


ROWS = (*oracle_rows(), *step_rows(), *trainer_rows(), *sampling_rows(), *other_rows())


def page(content: dict[str, Any] | None) -> str:
    """The document. content: what `benchmarks/cuda.py` wrote; None: nothing was ever measured."""
    content = content or {"parts": {part.name: not_run(part) for part in PARTS}}
    lines = ["# On a GPU", "", *introduction(content)]
    for part in PARTS:
        lines += ["", f"## {TITLES[part.name]}", "", *section(part.name, content["parts"][part.name])]
    return "\n".join(lines) + "\n"


def introduction(content: dict[str, Any]) -> list[str]:
    made = "Written by `python -m benchmarks.cuda_parts.report` from `benchmarks/results/cuda.json`; do not edit."
    if "machine" not in content:
        return [
            made,
            "",
            "**Nothing here has been run: no GPU was at hand.** What is there is the command, which runs each part in",
            "its own process with its own time limit, and keeps every result as soon as it is there:",
            "",
            "```bash",
            "# needs a GPU of 80 GB; 8 minutes",
            "python benchmarks/cuda.py --output benchmarks/results/cuda.json",
            "```",
            "",
            "`--quick` runs every part on a CPU at toy size, which a test does.",
        ]
    machine = content["machine"]
    known = ", ".join(
        f"{key} {machine[key]}" for key in ("python", "torch", "transformers", "peft", "bitsandbytes") if key in machine
    )
    toy = " **Toy sizes on a CPU (`--quick`): no figure here tells anything about a GPU.**" if content["quick"] else ""
    return [
        made,
        "",
        f"{machine.get('gpu', machine['system'])}; {known}; {content['started']}.{toy}",
        "",
        f"`{content['command']}`",
        *(f"then `{command}`" for command in content.get("again", ())),
        "",
        *NOTES,
    ]


def section(name: str, part: dict[str, Any]) -> list[str]:
    """One part: how it ended, and its table."""
    results = {result["name"]: result for result in part["results"]}
    took = "" if part["seconds"] is None else f" after {part['seconds']:.0f} s"
    lines = [f"{part['purpose'][0].upper()}{part['purpose'][1:]}: {part['status']}{took}."]
    if part["error"]:
        lines += ["", "```", *part["error"].splitlines()[:6], "```"]
    lines += ["", "| what | measured | asked for | the hardware's limit | at, UTC |", "|---|---|---|---|---|"]
    return lines + [line(row, results.get(row.result)) for row in ROWS if row.part == name]


def line(row: Row, result: dict[str, Any] | None) -> str:
    """A row of the table; without a result, or where the part says why there is none, "not run"."""
    if result is None or "not_run" in result:
        reason = f" ({result['not_run']})" if result else ""
        return f"| {row.label} | {NOT_RUN}{reason} | {row.bar} | | |"
    at = result.get("at", "")[11:16]
    if "fault" in result or "faults" in result:
        return f"| {row.label} | failed | {row.bar} | | {at} |"
    limit = row.floor(result) if row.floor is not None else None
    allowed = shown(limit, row.unit) if limit else ""
    return f"| {row.label} | {shown(row.figure(result), row.unit)} | {row.bar} | {allowed} | {at} |"


def shown(value: float | bool | None, unit: str = "") -> str:
    if value is None:
        return NOT_RUN
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=RESULTS)
    options = parser.parse_args()
    print(page(read_json(options.input) if options.input.is_file() else None), end="")


if __name__ == "__main__":
    main()
