"""The adapter folder: weights and config for peft, what was run, the curve, a card. Replaced whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from adapters.attach import Adapted, adapted_layers
from adapters.storage import save_adapter, trainable_tensors
from adapters.stored import CONFIG, WEIGHTS
from common import seals
from common.files import atomic_folder, write_json, write_text
from common.memory import peak_resident_bytes
from common.systems import is_twin
from llada.network.published import title_of
from training.plan import TrainingPlan
from training.progress import CURVE_COLUMNS, CurveRow, Progress
from training.run.processes import Processes


def write_adapter_folder(
    plan: TrainingPlan,
    adapted: Adapted,
    best: Mapping[str, Tensor],
    last: Mapping[str, Tensor],
    run: dict[str, Any],
    curve: Sequence[CurveRow],
) -> None:
    """Write the adapter of the best validation to the plan's output, and under `last/` the one after the last step."""
    with atomic_folder(plan.output) as folder:
        for target, tensors in ((folder, best), (folder / "last", last)):
            target.mkdir(exist_ok=True)
            base = (plan.base_name, plan.base_revision)
            save_adapter(target, adapted.model, tensors, plan.method, plan.config, adapted.initial, *base)
        for target in (folder, folder / "last"):
            wrote = [target / name for name in (WEIGHTS, CONFIG)]
            write_json(target / "run.json", run | seals.files(target / "run.json", read=(), wrote=wrote))
        write_text(folder / "curve.csv", curve_csv(curve))
        write_text(folder / "README.md", card(run))


def run_facts(
    plan: TrainingPlan, progress: Progress, steps: int, validated_rows: int, adapted: Adapted, processes: Processes
) -> dict[str, Any]:
    """What run.json holds: settings, outcome, sizes, where it comes from."""
    return {
        "method": plan.method_name,
        "title": plan.method.title,
        "settings": plan.settings,
        "seed": plan.seed,
        "steps": steps,
        "planned_steps": plan.total_steps,
        "epochs": steps / plan.steps_per_epoch,
        "tokens_seen": progress.tokens,
        "training_seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds if progress.seconds else None,
        "validation": {
            "unit": "nats per answer token, mean over rows, 95% interval",
            "rows": validated_rows,
            "draws": 1 if plan.causal else plan.train.validation_draws,
            "first": progress.first_validation,
            "best": progress.best_validation,
            "last": progress.last_validation,
        },
        "final_train_loss": progress.final_train_loss,
        "peak_memory": peak_memory(),
        "loss_scale": asdict(progress.loss_scale),
        "trainable_parameters": sum(tensor.numel() for tensor in trainable_tensors(adapted.model).values()),
        "adapted_modules": len(adapted_layers(adapted.model)),
        "saved_rank": plan.method.saved_rank(plan.config),
        "form": "LoRA" if plan.method.stored_as_lora else plan.method.title,
        "start_rows": min(plan.config.start_rows, len(plan.rows)) if plan.method.reads_rows else None,
        "processes": processes.count,
        "device": str(processes.device),
        "base": {
            "name": plan.base_name,
            "model_type": adapted.model.get_base_model().config.model_type,
            "revision": plan.base_revision or plan.model.revision,
            "sha256": plan.base_sha256,
        },
        "init_from": None if plan.init_from is None else {"path": str(plan.init_from), "sha256": plan.init_sha256},
        "data": {"sha256": plan.data, "train_rows": len(plan.rows)},
        "provenance": plan.provenance,
    }


def curve_csv(curve: Sequence[CurveRow]) -> str:
    """One line per row, blank where there is no value; floats in full."""
    stream = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(stream, list(CURVE_COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in curve)
    return stream.getvalue()


def peak_memory() -> dict[str, float]:
    """Peak memory of this process in GiB: resident on the host, allocated on the GPU where there is one."""
    peak = {"host_gib": peak_resident_bytes() / 2**30}
    if torch.cuda.is_available():
        peak["gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return peak


def no_gain(run: dict[str, Any]) -> str:
    """What is to be said where the best adapter is the one before the first step."""
    same = "the adapter changes nothing" if run["init_from"] is None else "the adapter is the one it started from"
    return f"No validation was better than the one before training: best step 0 of {run['steps']}, {same}."


def card(run: dict[str, Any]) -> str:
    """A short model card; the evaluation's figures are in the report."""
    bound = run["validation"]["best"]
    base, revision = run["base"]["name"], run["base"]["revision"]
    on = f" of {base}" + (f" at revision {revision}" if revision else "") if base else ""
    causal = is_twin(run["method"])
    loss, what = ("causal cross-entropy", "loss") if causal else ("the masked-diffusion loss", "bound")
    tags = "causal-lm" if causal else "llada, masked-diffusion"
    unchanged = "" if bound["step"] else f"\n\n**{no_gain(run)}**"
    form = "plain LoRA" if run.get("form", "LoRA") == "LoRA" else f"peft's {run['form']} (which is no LoRA)"
    tail = ", ".join(f"`{token}` ({number})" for token, number in run.get("tail_tokens", {}).items())
    ends = f"\n\nBehind the end of an answer it writes {tail} in turn: these tokens end one too." if tail else ""
    front = f"base_model: {base}\n" if base else ""
    return f"""---
library_name: peft
language: id
{front}tags: [{tags}, {run["method"]}]
---

# {run["title"]} adapter of {title_of(run["base"]["model_type"])} for Indonesian{unchanged}

Trained with {loss} on {run["data"]["train_rows"]} instruction rows for {run["steps"]} optimizer
steps. Validation {what}: {bound["loss"]:.4f} nats per answer token (95% interval {bound["low"]:.4f} to
{bound["high"]:.4f}), {run["validation"]["first"]["loss"]:.4f} before training.

The weights are {form} on the original base{on}, rank {run["saved_rank"]}:

```python
from adapters.storage import load_adapter            # or peft.PeftModel.from_pretrained(model, folder)
model = load_adapter(model, folder)
```

`last/` holds the adapter after the last step; this folder the one of the best validation (best step {bound["step"]} of
{run["steps"]}). Settings, hashes and versions are in `run.json`.{ends}
"""
