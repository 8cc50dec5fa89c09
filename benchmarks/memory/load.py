"""How much memory of its own does a process take to put an adapter on an 8 B base? On LLaDA-8B's shape, weights zero.

    python benchmarks/memory/load.py [--folder DIR] [--layers 32] [--output benchmarks/results/load_memory.json]

The base is sparse, as in `merge.py`: shards in bfloat16 that take no room on the disk. Each case runs in a process of
its own; reported is how much its private memory (RssAnon: what the system cannot drop and read again, unlike the mapped
pages of the shards) grew at the most from before the base was loaded until the adapter is on it. On a CPU the quantised
base is part of it: 3.4 GiB in NF4, which a GPU would hold in its own memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.attach import attach
from adapters.base import load_unquantised
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS
from benchmarks.memory.merge import ROOT, write_sparse_base
from common.files import write_json
from llada import LLaDAConfig

CASES = {  # method and type of the base; the file is bfloat16
    "NF4, LoRA": ("lora", "bfloat16"),
    "NF4, PiSSA": ("pissa", "bfloat16"),
    "NF4 in float16, PiSSA": ("pissa", "float16"),
}
SVD_ITERATIONS = 1  # they cost time and no memory
INTERVAL = 0.01  # seconds between two looks at the memory


class Peak:
    """The most private memory that was seen, and what there was before, bytes."""

    def __init__(self) -> None:
        self.before = self.most = private_bytes()

    @contextmanager
    def watching(self) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(INTERVAL):
                self.most = max(self.most, private_bytes())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.most = max(self.most, private_bytes())


def private_bytes() -> int:
    """Linux alone."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def child(folder: Path, case: str) -> None:
    """Load, attach, and print the growth as JSON."""
    name, dtype = CASES[case]
    model = ModelConfig.model_validate({"quantization": "nf4", "dtype": dtype})
    config = MethodConfig.model_validate({"rank": 16, "svd_iterations": SVD_ITERATIONS})
    peak, began = Peak(), time.perf_counter()
    with peak.watching():
        base = load_unquantised(model, folder / "base")
        loaded = private_bytes() - peak.before
        adapted = attach(base, METHODS[name], config, model, folder / "pissa", seed=0)
    weights = sum(p.numel() * p.element_size() for p in adapted.model.parameters())
    found = {
        "loaded_bytes": loaded,
        "peak_growth_bytes": peak.most - peak.before,
        "kept_growth_bytes": private_bytes() - peak.before,
        "parameter_bytes": weights,
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(found))


def measure(folder: Path, case: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(folder), "--case", case]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def recorded(output: Path, how: dict[str, int]) -> dict[str, Any]:
    """The cases in the file that were measured in the same way; a single case is written beside them."""
    if not output.exists():
        return {}
    earlier = json.loads(output.read_text(encoding="utf-8"))
    return earlier["cases"] if {name: earlier[name] for name in how} == how else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="default: the system's temporary folder")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "load_memory.json")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help="this one alone")
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.case)
        return
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        write_sparse_base(folder / "base", LLaDAConfig(n_layers=options.layers))
        how = {"layers": options.layers, "svd_iterations": SVD_ITERATIONS}
        found = recorded(options.output, how) if options.case else {}
        for case in [options.case] if options.case else CASES:
            found[case] = measure(folder, case)
            print(f"{case}: {found[case]['peak_growth_bytes'] / 1e9:.2f} GB at the peak", flush=True)
            write_json(options.output, how | {"cases": {name: found[name] for name in CASES if name in found}})
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
