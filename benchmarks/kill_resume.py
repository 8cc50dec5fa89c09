"""Kill a training with SIGKILL at random moments, start the same command again each time, compare the bytes at the end.

    python benchmarks/kill_resume.py [--kills 20] [--method pissa] [--folder DIR] [--output FILE]

Trains on the small world of the tests with a checkpoint after every step, so that most kills fall into the writing of
one. Every attempt is killed until so many kills have been made; the last one is left to finish. Needs the test extra.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "tests" / "support" / "train_small.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--method", default="pissa")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None, help="JSON file for the figures")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    settings = json.dumps({"max_steps": options.steps, "epochs": 10_000, "validate_every": 100, "checkpoint_every": 1})

    def start(run: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(DRIVER), str(folder), run, options.method, settings]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    if start("whole").wait() != 0:
        raise SystemExit("the uninterrupted run failed")
    moments, checkpoints, resumed, half = (
        random.Random(options.seed),
        folder / "killed" / options.method / "scratch" / "training",
        0,
        0,
    )
    for kill in range(options.kills):
        before = newest(checkpoints)
        process = start("killed")
        while process.poll() is None and newest(checkpoints) == before:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.5))
        if process.poll() is not None:
            raise SystemExit(f"finished after {kill} kills; take more --steps")
        process.kill()
        process.wait()
        resumed += newest(checkpoints) > before
        half += any(checkpoints.glob("*/.step-*"))
        print(f"kill {kill + 1}: after step {newest(checkpoints)}", flush=True)
    if start("killed").wait() != 0:
        raise SystemExit("the last attempt failed")
    whole, killed = (
        folder / run / options.method / "adapter" / "adapter_model.safetensors" for run in ("whole", "killed")
    )
    same = whole.read_bytes() == killed.read_bytes()
    print(f"{resumed} of {options.kills} attempts went on from a checkpoint, {half} kills fell into the writing of one")
    print(f"final adapters byte-identical: {same}")
    if options.output:
        counts = {"kills": options.kills, "resumed": resumed, "while_writing_a_checkpoint": half, "identical": same}
        settings = {key: getattr(options, key) for key in ("method", "steps", "seed")}
        options.output.write_text(json.dumps({"settings": settings, "result": counts}, indent=2) + "\n")
    raise SystemExit(0 if same and resumed == options.kills else 1)


def newest(folder: Path) -> int:
    """The last checkpoint's step, or -1."""
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("*/step-*")), default=-1)


if __name__ == "__main__":
    main()
