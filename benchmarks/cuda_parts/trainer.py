"""50 steps of each method through the trainer itself, started by `accelerate launch`, LLaDA-8B's shape in bfloat16 with
the settings of the profile `llada-8b`: speed, the memory estimate's error, and how long PiSSA takes to decompose.
"""

from __future__ import annotations

from typing import Any

from benchmarks.cuda_parts.driver import Run
from benchmarks.cuda_parts.launching import figures, start
from benchmarks.cuda_parts.setting import Setting, record, setting

METHODS: dict[str, dict[str, Any]] = {
    "pissa": {"rank": 16, "alpha": 16, "svd_iterations": 16},
    "lora": {"rank": 16, "alpha": 32},
    "loraplus": {"rank": 16, "alpha": 32, "ratio": 16},
}
STEPS = 50


def main() -> None:
    given, faults = setting(__doc__), []
    runs = [method_run(given, method, config) for method, config in METHODS.items() if given.wants(method)]
    one_by_one = ((run, start(run)) for run in runs)
    for run, process in list(one_by_one) if given.quick else one_by_one:  # toy runs all at once
        method, found = run.name, figures(process, run, max(5, given.left - 5))
        found.pop("losses", None)
        record(method, **found)
        faults += [f"{method}: {found['fault']}"] if "fault" in found else []
        faults += [f"{method}: a loss is not finite"] if not found.get("finite", True) else []
    if faults:
        raise SystemExit("; ".join(faults))


def method_run(given: Setting, method: str, config: dict[str, Any]) -> Run:
    steps, batch = (4, 2) if given.quick else (STEPS, 8)
    train = {
        "global_batch_size": batch, "micro_batch_size": batch, "max_steps": steps, "epochs": 99,
        "learning_rate": 5e-5, "eos_tail": "none", "validate_every": steps, "validation_draws": 1,
        "checkpoint_every": steps, "log_every": steps,
    }  # fmt: skip
    model = {"dtype": "bfloat16"}
    length = 32 if given.quick else 512
    config = config | ({"rank": 4, "svd_iterations": 2} if given.quick else {})
    return Run(str(given.folder), method, given.shape, model, train, config, 16 * batch, length, name=method)


if __name__ == "__main__":
    main()
