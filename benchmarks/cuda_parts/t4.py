"""What a T4 would do, on this card: float16, its attention kernels alone, 15 GB, the model and optimiser of the profile
`llada-8b-t4` (NF4, activations recomputed). Fits, finite losses, tokens/s; micro-batches of 8 rows, then of 1.

The speed is this card's, not a T4's: of a T4 it tells nothing but that the path works.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.cuda_parts.driver import Run
from benchmarks.cuda_parts.launching import figures, start
from benchmarks.cuda_parts.setting import Setting, lacks_bitsandbytes, record, setting

PROFILE = Path(__file__).resolve().parents[2] / "configs" / "llada-8b-t4.yaml"


def main() -> None:
    given, faults = setting(__doc__), []
    for micro in (2,) if given.quick else (8, 1):
        name = f"micro-batch {micro}"
        if not given.wants(name) or lacks_bitsandbytes(name):
            continue
        run = t4_run(given, micro, name.replace(" ", "-"))
        found = figures(start(run), run, max(5, given.left - 3))
        found.pop("losses", None)
        record(name, **found)
        faults += [f"{name}: {found['fault']}"] if "fault" in found else []
        faults += [f"{name}: a loss is not finite"] if not found.get("finite", True) else []
    if faults:
        raise SystemExit("; ".join(faults))


def t4_run(given: Setting, micro: int, name: str) -> Run:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    model = {key: value for key, value in profile["model"].items() if key not in ("base", "revision")}
    steps = 3 if given.quick else 10
    train = profile["train"] | {
        "global_batch_size": micro, "micro_batch_size": micro, "max_steps": steps, "epochs": 99, "eos_tail": "none",
        "validate_every": steps, "validation_draws": 1, "checkpoint_every": steps, "log_every": steps,
    }  # fmt: skip
    train["optimizer"] = "adamw_8bit" if given.quick else train["optimizer"]  # the paged one needs CUDA
    length = 32 if given.quick else 512
    return Run(
        str(given.folder),
        "lora",
        given.shape,
        model,
        train,
        profile["methods"]["lora"],
        8 * micro,
        length,
        name,
        t4=True,
    )


if __name__ == "__main__":
    main()
