"""The adapter folder: weights and config for peft, what was run, the curve, a card. Replaced whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapters.attach import Adapted
from adapters.config import MethodConfig
from adapters.methods import Method
from adapters.storage import save_adapter
from common.files import atomic_folder, write_json, write_text
from common.memory import peak_resident_bytes

CURVE_COLUMNS = (
    "step", "epoch", "tokens", "train_loss", "learning_rate", "gradient_norm",
    "validation_loss", "validation_low", "validation_high",
)  # fmt: skip


def write_adapter_folder(
    output: Path,
    *,
    adapted: Adapted,
    method: Method,
    config: MethodConfig,
    best: Mapping[str, Tensor],
    last: Mapping[str, Tensor],
    base_name: str | None,
    run: dict[str, Any],
    curve: list[dict[str, Any]],
) -> None:
    """Write the adapter of the best validation, and under `last/` the one after the last step."""
    with atomic_folder(output) as folder:
        for target, tensors in ((folder, best), (folder / "last", last)):
            target.mkdir(exist_ok=True)
            save_adapter(target, adapted.model, tensors, method, config, adapted.initial, base_name)
            # peft writes a card of its own, full of blanks.
            (target / "README.md").unlink(missing_ok=True)
        write_json(folder / "run.json", run)
        write_json(folder / "last" / "run.json", run)
        write_text(folder / "curve.csv", curve_csv(curve))
        write_text(folder / "README.md", card(run))


def curve_csv(curve: list[dict[str, Any]]) -> str:
    """One line per entry, blank where there is no value; floats in full."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(stream, list(CURVE_COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return stream.getvalue()


def peak_memory() -> dict[str, float]:
    """Peak memory of this process in GiB: resident on the host, allocated on the GPU where there is one."""
    peak = {"host_gib": peak_resident_bytes() / 2**30}
    if torch.cuda.is_available():
        peak["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return peak


def card(run: dict[str, Any]) -> str:
    """A short model card; the evaluation's figures are in the report."""
    bound = run["validation"]["best"]
    base = run["base"]["name"]
    front = f"base_model: {base}\n" if base else ""
    return f"""---
library_name: peft
language: id
{front}tags: [llada, masked-diffusion, {run["method"]}]
---

# {run["title"]} adapter of LLaDA for Indonesian

Trained with the masked-diffusion loss on {run["data"]["train_rows"]} instruction rows for {run["steps"]} optimizer
steps. Validation bound: {bound["loss"]:.4f} nats per answer token (95% interval {bound["low"]:.4f} to
{bound["high"]:.4f}), {run["validation"]["first"]["loss"]:.4f} before training.

The weights are plain LoRA on the original base, rank {run["saved_rank"]}:

```python
from adapters.storage import load_adapter            # or peft.PeftModel.from_pretrained(model, folder)
model = load_adapter(model, folder)
```

`last/` holds the adapter after the last step; this folder the one of the best validation (step {bound["step"]}).
Settings, hashes and versions are in `run.json`.
"""
