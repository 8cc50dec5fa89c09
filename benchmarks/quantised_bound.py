"""What does quantising cost? The likelihood bound of the base and of each merged adapter, as it is, in int8 and in NF4.

    python benchmarks/quantised_bound.py [--artifacts artifacts/mini] [--samples 16]

Each adapter is merged into the unquantised base; the merged folder is then loaded as it is (before) and with
bitsandbytes' int8 or NF4 in the blocks' projections (after). Bounds are nats per answer token on the test items, on
the same masks for all. The difference has a 95% paired bootstrap interval over items.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.table import Table

from adapters.base import load_base
from adapters.config import ModelConfig
from common.files import write_json
from common.progress import plain_console
from eval.measure.evaluate import TestSet, read_test_set
from eval.measure.likelihood import bounds
from eval.metrics.statistics import bootstrap_scores, mean
from release.merge import merge
from training.memory.estimate import NF4_BYTES

ROOT = Path(__file__).resolve().parent.parent
SEED, RESAMPLES = 42, 10_000
KINDS = ("none", "int8", "nf4")


def nats(folder: Path, kind: str, test: TestSet, samples: int) -> np.ndarray:
    """(n,) nats of each answer under the model in `folder`, stored as `kind`."""
    model = load_base(ModelConfig.model_validate({"quantization": kind}), folder, "cpu")
    label = f"{folder.name}, {kind}"
    estimates = bounds(model, test.prompts, test.answers, samples=samples, seed=SEED, label=label)
    return np.array([-entry.estimate for entry in estimates])


def rows_of(system: str, folder: Path, test: TestSet, samples: int) -> list[dict[str, object]]:
    tokens = np.array([len(answer) for answer in test.answers], dtype=np.float64)
    scores = {kind: np.stack([nats(folder, kind, test, samples), tokens], axis=1) for kind in KINDS}
    rows = []
    for kind, score in scores.items():
        first, second = (bootstrap_scores(each, mean, RESAMPLES, SEED) for each in (score, scores["none"]))
        low, high = np.quantile(first - second, (0.025, 0.975))
        value, before = (float(mean(each.sum(axis=0))) for each in (score, scores["none"]))
        rows.append(
            {
                "system": system,
                "stored": kind,
                "bound": round(value, 4),
                "difference": round(value - before, 4),
                "low": round(float(low), 4),
                "high": round(float(high), 4),
            }
        )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    grid = Table("system", "stored as", "bound", "difference to float32 (95%)")
    for row in rows:
        told = f"{row['difference']:+} ({row['low']:+} to {row['high']:+})"
        grid.add_row(str(row["system"]), str(row["stored"]), str(row["bound"]), told)
    plain_console().print(grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts" / "mini")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "quantised_bound.json")
    options = parser.parse_args()
    test = read_test_set(options.artifacts / "formatted" / "test.parquet")
    base = options.artifacts / "inputs" / "base"
    rows = rows_of("base", base, test, options.samples)
    model = ModelConfig.model_validate({})
    with tempfile.TemporaryDirectory() as scratch:
        for adapter in sorted((options.artifacts / "adapters").iterdir()):
            folder = Path(scratch) / adapter.name
            merge(model=model, base=base, adapter=adapter, output=folder)
            rows += rows_of(adapter.name, folder, test, options.samples)
    bits = {"none": 32.0, "int8": 8.0, "nf4": round(8 * NF4_BYTES, 3)}
    write_json(
        options.output,
        {
            "items": len(test.items),
            "samples": options.samples,
            "unit": "nats per answer token",
            "bits_per_weight_in_blocks": bits,
            "rows": rows,
        },
    )
    show(rows)


if __name__ == "__main__":
    main()
