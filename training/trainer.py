"""Train one adapter on a frozen base with the masked-diffusion loss, on one process or many.

    accelerate launch train_adapter.py --method lora|loraplus|pissa        # by way of pipeline.stages.train

set-up -> fit -> finish. Every optimizer step is a pure function of (settings, data, seed, step): batches from (seed,
epoch), noise from (seed, step, row), dropout from (seed, step, process). So a run that was killed and resumed ends
with the same bytes as one that was not, and two processes see the same losses as one.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from adapters.attach import Adapted, adapted_layers, attach
from adapters.base import load_unquantised
from adapters.config import MethodConfig, ModelConfig
from adapters.merged_forward import fuse
from adapters.methods import Method, method_named
from adapters.storage import set_trainable, trainable_tensors
from common.errors import InputError
from common.files import write_json
from common.progress import console, progress_bar
from training.adapter_folder import peak_memory, write_adapter_folder
from training.batching import (
    Batch,
    Rows,
    accumulation_steps,
    batch_of_step,
    collate,
    read_rows,
    share,
    steps_per_epoch,
    tail_lengths,
)
from training.checkpoint import Checkpoint, load_newest_checkpoint, remove_leftovers, save_checkpoint
from training.config import TrainConfig
from training.estimate import check_fits, estimate, table
from training.fingerprint import data_hashes, fingerprint, run_settings
from training.guards import check_finite, explain_out_of_memory
from training.interrupts import Interrupts, run_lock
from training.objective import Objective, loss_denominator, step_noise
from training.optimizer import make_optimizer
from training.validation import NoisedBatch, Validation, noised_batches, validate, validation_draws

VALIDATION_SEED = 0
"""Of the validation's rows and noise: not the run's own, so that runs of different seeds are measured alike."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained: the arguments of `train`, and what follows from them before anything is loaded."""

    name: str
    method: Method
    model: ModelConfig
    train: TrainConfig
    config: MethodConfig
    base: Path
    base_sha256: str
    formatted: Path
    output: Path
    scratch: Path
    seed: int
    provenance: dict[str, Any]
    rows: Rows
    data: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        return run_settings(self.model, self.train, self.config)

    @cached_property  # once: it reads the code, which somebody may be editing
    def run_folder(self) -> Path:
        """Resumable state of exactly this run."""
        key = fingerprint(self.name, self.settings, self.data, self.base_sha256, self.seed)
        return self.scratch / "training" / f"{self.name}-{key[:16]}"

    @property
    def base_name(self) -> str | None:
        """What the adapter names as its base: the hub id or folder of the profile; None for the embedded one."""
        return None if self.model.base == "embedded" else self.model.base

    @property
    def telling_settings(self) -> dict[str, Any]:
        """What to print when a run fails."""
        return {
            "method": self.name,
            "learning_rate": self.config.learning_rate or self.train.learning_rate,
            "rank": self.config.rank,
            "global_batch_size": self.train.global_batch_size,
            "max_gradient_norm": self.train.max_gradient_norm,
            "dtype": self.model.dtype,
            "quantization": self.model.quantization,
        }

    @property
    def total_steps(self) -> int:
        per_epoch = steps_per_epoch(len(self.rows), self.train.global_batch_size)
        steps = max(1, round(self.train.epochs * per_epoch))
        return steps if self.train.max_steps is None else min(steps, self.train.max_steps)


@dataclass
class Progress:
    """The part of the training state that is neither adapter nor optimizer; JSON in a checkpoint."""

    tokens: int = 0  # positions that were not padding, over all processes
    seconds: float = 0.0  # of training steps, validation not counted
    best_loss: float | None = None
    best_step: int = 0
    without_better: int = 0  # validations since the best one
    first_validation: dict[str, Any] | None = None
    last_validation: dict[str, Any] | None = None
    best_validation: dict[str, Any] | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)  # step losses since the last row of the curve
    pending_norms: list[float] = field(default_factory=list)


class Trainer:
    """The objects of a running training, on one of its processes."""

    def __init__(self, plan: Plan, accelerator: Any, interrupts: Interrupts) -> None:
        self.plan, self.accelerator, self.interrupts = plan, accelerator, interrupts
        self.main: bool = accelerator.is_main_process
        self.rank: int = accelerator.process_index
        self.processes: int = accelerator.num_processes
        self.device: torch.device = accelerator.device
        train = plan.train
        self.accumulation = accumulation_steps(train.global_batch_size, train.micro_batch_size, self.processes)
        self.lengths = plan.rows.lengths
        self.step = 0
        self.progress = Progress()
        self.best: dict[str, Tensor] | None = None
        self._epochs: dict[int, list[np.ndarray]] = {}

    def set_up(self) -> None:
        """Load the base, attach the adapter, make the optimizer, resume from the newest checkpoint."""
        plan = self.plan
        # The first process computes PiSSA's factors, the others then find them in the cache.
        with self.accelerator.main_process_first():
            base = load_unquantised(plan.model, plan.base, self.device)
            self.adapted: Adapted = attach(
                base, plan.method, plan.config, plan.model, plan.scratch / "pissa", plan.seed, progress=self.main
            )
        model = self.adapted.model
        if not self._sharded:
            fuse(model)
        if plan.model.activation_checkpointing:
            model.get_base_model().gradient_checkpointing_enable()
        if plan.model.compile and self.device.type == "cuda":
            model.get_base_model().compile_blocks()
        self.base_config = model.get_base_model().config
        self.objective = Objective(model, plan.train.normalizer, getattr(torch, plan.model.dtype))
        self.optimizer: Any = make_optimizer(model, plan.method, plan.config, plan.train)
        self._resume()
        if self._sharded:
            # The base is sharded, the small adapters stay whole on every process: saving, resuming and clipping are
            # then those of one process. FSDP does not reduce what it ignores; `_reduce_gradients` does.
            self.accelerator.state.fsdp_plugin.ignored_modules = _adapter_modules(model)
        self.module, self.optimizer = self.accelerator.prepare(self.objective, self.optimizer)
        self.module.train()
        self._prepare_validation()

    @property
    def _sharded(self) -> bool:
        return str(self.accelerator.distributed_type).endswith("FSDP")

    def _resume(self) -> None:
        checkpoint = load_newest_checkpoint(self.plan.run_folder)
        if checkpoint is None:
            return
        set_trainable(self.adapted.model, checkpoint.adapter)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.best = checkpoint.best
        self.step = checkpoint.step
        self.progress = Progress(**checkpoint.progress)
        if self.main:
            console.print(f"{self.plan.name}: resuming after step {self.step} of {self.plan.total_steps}")

    def _prepare_validation(self) -> None:
        plan = self.plan
        rows = read_rows(plan.formatted / "validation.parquet")
        if plan.train.validation_rows is not None and plan.train.validation_rows < len(rows):
            chosen = np.random.default_rng(VALIDATION_SEED).permutation(len(rows))[: plan.train.validation_rows]
            rows = rows.take(np.sort(chosen).tolist())
        self.validation_rows = len(rows)
        self.draws = validation_draws(rows, plan.train.validation_draws, VALIDATION_SEED)
        batches = noised_batches(
            rows,
            self.draws,
            plan.train.micro_batch_size,
            self.base_config.mask_token_id,
            self._pad_id,
            self.device,
        )
        self.validation_batches = batches[self.rank :: self.processes]

    @property
    def _eos_id(self) -> int:
        return int(self.base_config.eos_token_id)

    @property
    def _pad_id(self) -> int:
        pad = self.base_config.pad_token_id
        return self._eos_id if pad is None else int(pad)

    # --- one optimizer step ---

    def optimizer_step(self) -> tuple[float, float]:
        """Run step `self.step`; returns the loss of the global batch and the gradient's norm before clipping."""
        plan, step = self.plan, self.step
        batch = batch_of_step(self.lengths, plan.train.global_batch_size, plan.seed, step, self._epochs)
        lengths, prompts = self.lengths[batch], plan.rows.prompt_lengths[batch]
        tails = tail_lengths(lengths, plan.train.eos_tail, self.base_config.max_sequence_length)
        noise = step_noise(plan.seed, step, len(batch), plan.train.stratified_t)
        whole = self._collate(batch, tails) if plan.train.normalizer == "masked_count" else None
        total = loss_denominator(plan.train.normalizer, whole, noise, lengths + tails - prompts)
        self._set_learning_rate(step)
        loss = torch.zeros((), device=self.device)
        parts = share(len(batch), self.accumulation, self.rank, self.processes)
        for i, part in enumerate(parts):
            idle = len(part) == 0  # then a row without masks keeps this process in the reduction
            part = np.array([0]) if idle else part
            padded = self._collate(batch[part], tails[part])
            mask = noise.masks(part, padded.maskable)
            mask = torch.zeros_like(mask) if idle else mask
            levels = noise.levels[torch.from_numpy(part)]
            padded = padded.to(self.device)
            if plan.config.dropout > 0:
                torch.manual_seed(_dropout_seed(plan.seed, step, i, self.rank))
            with nullcontext() if i == len(parts) - 1 else self.accelerator.no_sync(self.module):
                part_loss = self.module(padded.input_ids, padded.attention_mask, padded.maskable, levels, mask, total)
                # DDP averages gradients over the processes; the parts are shares of one loss, so their sum is wanted.
                (part_loss * (self.processes * self.objective.loss_scale)).backward()
            loss += part_loss.detach()
        if self._sharded:
            self._reduce_gradients()
        norm = self._clip()
        value = float(self._sum(loss))
        check_finite(value, norm, step, [plan.rows.ids[row] for row in batch], plan.telling_settings)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.tokens += int((lengths + tails).sum())
        return value, norm

    def _collate(self, rows: np.ndarray, tails: np.ndarray) -> Batch:
        tokens = [self.plan.rows.tokens[row] for row in rows]
        return collate(tokens, self.plan.rows.prompt_lengths[rows], tails, self._eos_id, self._pad_id)

    def _reduce_gradients(self) -> None:
        """Average the adapters' gradients over the processes, in one piece, as DDP does."""
        gradients = [p.grad for p in trainable_tensors(self.adapted.model).values() if p.grad is not None]
        flat = self.accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="mean")
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _clip(self) -> float:
        parameters = list(trainable_tensors(self.adapted.model).values())
        if self.objective.loss_scale != 1.0:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad /= self.objective.loss_scale
        norm = nn.utils.clip_grad_norm_(parameters, self.plan.train.max_gradient_norm)
        return float(norm)

    def _set_learning_rate(self, step: int) -> None:
        factor = schedule(step, self.plan.total_steps, self.plan.train)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _sum(self, value: Tensor) -> Tensor:
        return self.accelerator.reduce(value, reduction="sum") if self.processes > 1 else value

    # --- the loop ---

    def fit(self) -> None:
        """Train to the end; raises SystemExit(130 or 143) after saving when a signal came."""
        plan = self.plan
        total = plan.total_steps
        if self.step == 0:
            self._validate_and_log(loss=None, norm=None)
        with progress_bar(self.main) as bars:
            bar = bars.add_task(f"train {plan.name}", total=total, completed=self.step, note="")
            while self.step < total and not self._stopped_early():
                self.interrupts.deferred = True
                began = time.perf_counter()
                loss, norm = self.optimizer_step()
                self.progress.seconds += time.perf_counter() - began
                self.step += 1
                self.progress.pending.append(loss)
                self.progress.pending_norms.append(norm)
                self._log_and_validate()
                signal = self._agreed_signal()
                if signal or self.step % plan.train.checkpoint_every == 0:
                    self._save()
                if signal:
                    if self.main:
                        console.print(
                            f"{plan.name}: stopped after step {self.step} of {total}; the same command continues"
                        )
                    raise SystemExit(128 + signal)
                self.interrupts.deferred = False
                bars.update(bar, advance=1, note=f"loss {loss:.3f}")

    def _log_and_validate(self) -> None:
        train, last = self.plan.train, self.step == self.plan.total_steps
        validating = self.step % train.validate_every == 0 or last
        if validating or self.step % train.log_every == 0:
            loss, norm = float(np.mean(self.progress.pending)), float(np.mean(self.progress.pending_norms))
            self.progress.pending, self.progress.pending_norms = [], []
            if validating:
                self._validate_and_log(loss, norm)
            else:
                self._log(loss, norm, None)

    def _validate_and_log(self, loss: float | None, norm: float | None) -> None:
        result = self._validate()
        state = self.progress
        facts = result.facts() | {"step": self.step}
        state.last_validation = facts
        if self.step == 0:
            state.first_validation = facts
        if state.best_loss is None or result.loss < state.best_loss:
            state.best_loss, state.best_step, state.best_validation = result.loss, self.step, facts
            state.without_better = 0
            self.best = self._adapter_copy()
        else:
            state.without_better += 1
        self._log(loss, norm, result)

    def _validate(self) -> Validation:
        self.module.eval()
        with torch.inference_mode():
            result = validate(
                self._token_losses, self.validation_batches, self.draws, self.validation_rows, self._sum_cpu
            )
        self.module.train()
        return result

    def _token_losses(self, batch: NoisedBatch) -> Tensor:
        return self.objective.token_losses(batch.noisy, batch.attention_mask, batch.mask, batch.targets)

    def _sum_cpu(self, value: Tensor) -> Tensor:
        return self._sum(value.to(self.device)).cpu() if self.processes > 1 else value

    def _log(self, loss: float | None, norm: float | None, validation: Validation | None) -> None:
        row = {
            "step": self.step,
            "epoch": self.step / steps_per_epoch(len(self.plan.rows), self.plan.train.global_batch_size),
            "tokens": self.progress.tokens,
            "train_loss": loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"] if self.step else 0.0,
            "gradient_norm": norm,
            "validation_loss": validation.loss if validation else None,
            "validation_low": validation.low if validation else None,
            "validation_high": validation.high if validation else None,
        }
        self.progress.curve.append(row)
        if self.plan.train.trackers:
            self.accelerator.log({key: value for key, value in row.items() if value is not None}, step=self.step)

    def _stopped_early(self) -> bool:
        patience = self.plan.train.early_stopping
        return patience is not None and self.progress.without_better >= patience

    def _agreed_signal(self) -> int:
        """The signal to stop for, or 0; the same on every process, so that they stop after the same step."""
        own = self.interrupts.signal or 0
        if self.processes == 1:
            return own
        signals = self.accelerator.gather(torch.tensor([own], device=self.device))
        return int(signals.max())

    # --- saving ---

    def _adapter_copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in trainable_tensors(self.adapted.model).items()}

    def _save(self) -> None:
        adapter, optimizer = self._adapter_copy(), self.optimizer.state_dict()
        if self.main:
            checkpoint = Checkpoint(self.step, adapter, optimizer, self.best, vars(self.progress))
            save_checkpoint(self.plan.run_folder, checkpoint, self.plan.train.keep_checkpoints)

    def finish(self) -> None:
        """Rank 0 writes the adapter folder and removes the resumable state."""
        last = self._adapter_copy()
        if self.main:
            assert self.best is not None
            run = self._run_facts()
            write_adapter_folder(
                self.plan.output,
                adapted=self.adapted,
                method=self.plan.method,
                config=self.plan.config,
                best=self.best,
                last=last,
                base_name=self.plan.base_name,
                run=run,
                curve=self.progress.curve,
            )
            for path in self.plan.run_folder.glob("step-*"):
                shutil.rmtree(path)
            found = run["validation"]
            losses = f"{found['first']['loss']:.3f} before, {found['best']['loss']:.3f} after"
            console.print(f"{self.plan.output}: validation bound {losses}, nats per answer token", soft_wrap=True)
        self.accelerator.wait_for_everyone()

    def _run_facts(self) -> dict[str, Any]:
        plan, state = self.plan, self.progress
        return {
            "method": plan.name,
            "title": plan.method.title,
            "settings": plan.settings,
            "seed": plan.seed,
            "steps": self.step,
            "planned_steps": plan.total_steps,
            "epochs": self.step / steps_per_epoch(len(plan.rows), plan.train.global_batch_size),
            "tokens_seen": state.tokens,
            "training_seconds": state.seconds,
            "tokens_per_second": state.tokens / state.seconds if state.seconds else None,
            "validation": {
                "unit": "nats per answer token, mean over rows, 95% interval",
                "rows": self.validation_rows,
                "draws": plan.train.validation_draws,
                "first": state.first_validation,
                "best": state.best_validation,
                "last": state.last_validation,
            },
            "final_train_loss": next((row["train_loss"] for row in reversed(state.curve) if row["train_loss"]), None),
            "peak_memory": peak_memory(),
            "trainable_parameters": sum(t.numel() for t in trainable_tensors(self.adapted.model).values()),
            "adapted_modules": len(adapted_layers(self.adapted.model)),
            "saved_rank": plan.config.rank * (2 if plan.method.pissa else 1),
            "processes": self.processes,
            "device": str(self.device),
            "base": {"name": plan.base_name, "revision": plan.model.revision, "sha256": plan.base_sha256},
            "data": {"sha256": plan.data, "train_rows": len(plan.rows)},
            "provenance": plan.provenance,
        }


def train(method: str, **arguments: Any) -> None:
    """Train one adapter; called in every process of `accelerate launch`. Takes the arguments of `make_plan`.

    Raises:
        InputError: what the user can cure: missing data, a rank too large, a loss that is not finite, too little
        memory. llada.errors.CheckpointError: the base folder does not hold a usable base.
        SystemExit: 130 on SIGINT and 143 on SIGTERM, after saving.
    """
    with Interrupts() as interrupts:
        plan = make_plan(method, **arguments)
        accelerator = make_accelerator(plan)
        lock = run_lock(plan.run_folder) if accelerator.is_main_process else nullcontext()
        with (
            lock,
            explain_out_of_memory(plan.train, plan.model.activation_checkpointing, plan.model.quantization),
            _processes_end(accelerator),
        ):
            if accelerator.is_main_process:
                remove_leftovers(plan.run_folder)
                write_json(plan.run_folder / "settings.json", plan.settings)
            accelerator.wait_for_everyone()
            trainer = Trainer(plan, accelerator, interrupts)
            trainer.set_up()
            trainer.fit()
            interrupts.deferred = False
            trainer.finish()


def dry_run(method: str, **arguments: Any) -> None:
    """Print what `train` would do with the same arguments, counted on the meta device; train and write nothing.

    Raises:
        InputError: the run will not fit into memory; or what `train` would refuse.
    """
    from rich.table import Table

    plan = make_plan(method, **arguments)
    result = estimate(
        method=plan.method,
        model=plan.model,
        train=plan.train,
        config=plan.config,
        base=plan.base,
        lengths=plan.rows.lengths,
        steps=plan.total_steps,
        seed=plan.seed,
        processes=int(os.environ.get("WORLD_SIZE", "1")),
    )
    if os.environ.get("RANK", "0") == "0":
        grid = Table(show_header=False, box=None)
        for label, value in table(plan.name, result, plan.output, plan.run_folder):
            grid.add_row(label, value)
        Console().print(grid)
    check_fits(result, plan.model, plan.train)


def make_plan(
    name: str,
    *,
    model: ModelConfig,
    train: TrainConfig,
    config: MethodConfig,
    base: Path,
    base_sha256: str,
    formatted: Path,
    output: Path,
    scratch: Path,
    seed: int,
    provenance: dict[str, Any],
) -> Plan:
    """What is to be trained, from the sections of the profile and where things lie.

    Args:
        name: a key of `adapters.methods.METHODS`.
        base, base_sha256: folder of the base in the published layout, and the hash of its weights.
        formatted: folder with train.parquet and validation.parquet.
        output: the adapter folder, replaced whole at the end.
        scratch: resumable state and PiSSA's factors; on a file system that all machines share.
        provenance: facts for run.json (commit, versions).

    Raises:
        InputError: an unknown method; a split that is missing or unreadable.
    """
    method = method_named(name)
    rows = read_rows(formatted / "train.parquet")
    read_rows(formatted / "validation.parquet")
    if method.pissa and config.dropout > 0 and os.environ.get("RANK", "0") == "0":
        console.print(
            f"methods.{name}.dropout: {config.dropout} disturbs PiSSA's start, which is the base only at dropout 0"
        )
    return Plan(
        name, method, model, train, config, base, base_sha256, formatted, output, scratch, seed, provenance, rows,
        data_hashes(formatted),
    )  # fmt: skip


def make_accelerator(plan: Plan) -> Any:
    """accelerate's view of the processes. Precision is the model's own business (see `Objective`)."""
    from accelerate import Accelerator

    missing = [name for name in plan.train.trackers if find_spec(name) is None]
    if missing:
        raise InputError([f"train.trackers: {name} is not installed; run `pip install {name}`" for name in missing])
    _use_all_cores()
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",
        log_with=list(plan.train.trackers) or None,
        project_dir=str(plan.scratch / "trackers") if plan.train.trackers else None,
    )
    if plan.train.trackers:
        accelerator.init_trackers(f"{plan.name}", config={})
    return accelerator


def schedule(step: int, total: int, train: TrainConfig) -> float:
    """The factor on the peak rate at optimizer step `step` of `total`: linear warm-up, then constant or a cosine to
    zero.
    """
    warmup = round(train.warmup_fraction * total)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if train.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _use_all_cores() -> None:
    """On the CPU, share the cores among the processes of this machine; `accelerate launch` would leave one thread to
    each.
    """
    if not torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local))


def _adapter_modules(model: nn.Module) -> list[nn.Module]:
    """The modules that hold nothing but adapter weights."""
    return [
        module for name, module in model.named_modules() if name.endswith(("lora_A", "lora_B", "lora_magnitude_vector"))
    ]


def _dropout_seed(seed: int, step: int, part: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, part, rank]).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def _processes_end(accelerator: Any) -> Iterator[None]:
    """Leave the process group and the trackers in order."""
    try:
        yield
    finally:
        accelerator.end_training()
