"""Train one adapter on a frozen base with the masked-diffusion loss, on one process or many.

    accelerate launch train_adapter.py --method lora|loraplus|pissa        # by way of pipeline.stages.train

set-up -> fit -> finish. Every optimizer step is a pure function of (settings, data, seed, step): batches from (seed,
epoch), noise from (seed, step, row), dropout from (seed, step, process). So a run that was killed and resumed ends
with the same bytes as one that was not, and two processes see the same losses as one.
"""

from __future__ import annotations

import math
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adapters.attach import Adapted, attach
from adapters.base import layout_of, load_unquantised
from adapters.forms import HOLDERS
from adapters.forward import lean_forward_passes, spare_casts
from adapters.storage import set_trainable, trainable_tensors
from common.errors import InputError
from common.files import write_json
from common.progress import console, progress_bar
from llada.diffusion.importance import level_density
from training import loss_scale
from training.batching import accumulation_steps, batch_of_step, share
from training.causal import CausalBatch, CausalMicroBatch, CausalObjective, answer_batches, answer_draws
from training.global_batch import GlobalBatch, MicroBatch, batch_of
from training.memory.dry_run import check_memory
from training.objective import Objective
from training.optimizer import make_optimizer, set_learning_rate
from training.plan import TrainingPlan
from training.progress import Progress
from training.run.adapter_folder import no_gain, run_facts, write_adapter_folder
from training.run.checkpoint import (
    Checkpoint,
    list_checkpoints,
    load_newest_checkpoint,
    remove_leftovers,
    save_checkpoint,
)
from training.run.device import check_device
from training.run.guards import check_finite, check_validation, explain_out_of_memory
from training.run.interrupts import Interrupts, run_lock
from training.run.processes import Processes, check_sharding, make_accelerator, processes_end
from training.run.start import start_rows, starting_tensors, tail_tokens
from training.run.unfinished import FACTS, facts, remove_runs, unfinished_runs
from training.validation import chosen_rows, drawn_batches, share_of, validate, validation_draws

PADDING = 0  # behind a causal row's end, where no token that counts sees it


def train(plan: TrainingPlan, fresh: bool = False, fits: bool = False, on_cpu: bool = False) -> None:
    """Train one adapter; called in every process of `accelerate launch`.

    Args:
        fresh: remove what unfinished runs of this adapter left behind, and begin at step 0.
        fits: start on a GPU that is too small by the estimate.
        on_cpu: start on a CPU, however large the base.

    Raises:
        InputError: what the user can cure: missing data, a rank too large, a loss that is not finite, too little
        memory. llada.errors.CheckpointError: the base folder does not hold a usable base.
        SystemExit: 130 on SIGINT and 143 on SIGTERM, after saving.
    """
    with Interrupts() as interrupts:
        plan.check()
        accelerator = make_accelerator(plan)
        lock = run_lock(plan.run_folder) if accelerator.is_main_process else nullcontext()
        with (
            lock,
            explain_out_of_memory(plan.train, plan.model.activation_checkpointing, plan.model.quantization),
            processes_end(accelerator),
        ):
            if accelerator.is_main_process:
                _prepare_run_folder(plan, fresh)
            accelerator.wait_for_everyone()
            processes = Processes(accelerator)
            check_sharding(processes.sharded, plan.causal, plan.method_name)
            check_device(plan, processes.device, on_cpu)
            check_memory(plan, processes, fits)
            trainer = Trainer(plan, processes, interrupts)
            trainer.set_up()
            trainer.fit()
            interrupts.deferred = False
            trainer.finish()


def _prepare_run_folder(plan: TrainingPlan, fresh: bool) -> None:
    """Clear what kills left there, and say what other unfinished runs of this adapter are left behind."""
    remove_leftovers(plan.run_folder)
    if fresh:
        remove_runs(plan)
    elif not list_checkpoints(plan.run_folder):
        for run in unfinished_runs(plan)[:1]:
            console.print(run.sentence(plan), soft_wrap=True)
    write_json(plan.run_folder / FACTS, facts(plan))


class Trainer:
    """The objects of a running training, on one of its processes."""

    def __init__(self, plan: TrainingPlan, processes: Processes, interrupts: Interrupts) -> None:
        self.plan, self.processes, self.interrupts = plan, processes, interrupts
        train = plan.train
        self.accumulation = accumulation_steps(train.global_batch_size, train.micro_batch_size, processes.count)
        self.lengths = plan.rows.lengths
        self.step = 0  # optimizer steps that are done
        self.progress = Progress()
        if plan.model.dtype == "float16":
            self.progress.loss_scale.value = loss_scale.START
        self.best: dict[str, Tensor] | None = None  # the adapter of the best validation
        self._epochs: dict[int, list[np.ndarray]] = {}

    # --- set-up ---

    def set_up(self) -> None:
        """Load the base, attach the adapter, make the optimizer, resume from the newest checkpoint."""
        plan, processes = self.plan, self.processes
        # The first process computes the initial factors, the others then find them in the cache.
        with processes.accelerator.main_process_first():
            base = load_unquantised(plan.model, plan.base, processes.device, causal=plan.causal)
            self.tail_tokens = tail_tokens(plan)
            base.config.tail_token_ids = list(self.tail_tokens.values()) or None
            rows = start_rows(plan, base.config, processes.device) if plan.method.reads_rows else None
            parts = (plan.method, plan.config, plan.model, plan.scratch / "starts", plan.seed)
            self.adapted: Adapted = attach(base, *parts, progress=processes.main, rows=rows)
        model = self.adapted.model
        if not processes.sharded:
            lean_forward_passes(model)
        if plan.model.dtype != "float32":
            spare_casts(model)
        if plan.model.activation_checkpointing:
            _recompute_activations(model.get_base_model(), plan.causal)
        if plan.model.compile and processes.device.type == "cuda":
            _compile_blocks(model.get_base_model(), plan.causal)
        self.base_config = model.get_base_model().config
        kind = CausalObjective if plan.causal else Objective
        self.objective = kind(model, plan.train.normalizer, getattr(torch, plan.model.dtype))
        if plan.init_from is not None:
            set_trainable(model, starting_tensors(plan, model))
        self.optimizer: Any = make_optimizer(model, plan.method, plan.config, plan.train)
        self._resume()
        self.module, self.optimizer = processes.prepare(self.objective, _adapter_modules(model), self.optimizer)
        # Once, because to find them takes milliseconds; and here, because what prepares the model may replace them.
        self.trained = list(trainable_tensors(model).values())
        self.module.train()
        self._prepare_validation()

    def _resume(self) -> None:
        checkpoint = load_newest_checkpoint(self.plan.run_folder)
        if checkpoint is None:
            return
        try:
            set_trainable(self.adapted.model, checkpoint.adapter)
            self.optimizer.load_state_dict(checkpoint.optimizer)
            self.progress = Progress.from_json(checkpoint.progress)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self.plan.run_folder}: its checkpoint is of another shape ({reason}); --fresh starts anew"
            ) from None
        self.best = checkpoint.best
        self.step = checkpoint.step
        if self.processes.main:
            console.print(f"{self.plan.method_name}: resuming after step {self.step} of {self.plan.total_steps}")

    def _prepare_validation(self) -> None:
        train = self.plan.train
        rows = chosen_rows(self.plan.validation_rows, train.validation_rows)
        self.validated_rows = rows.ids
        device = self.processes.device
        if self.plan.causal:
            self.draws = answer_draws(rows)
            batches = answer_batches(rows, self.draws, train.micro_batch_size, PADDING, device)
        else:
            self.draws = validation_draws(rows, train.validation_draws)
            mask_token_id = self.base_config.mask_token_id
            batches = drawn_batches(rows, self.draws, train.micro_batch_size, mask_token_id, device)
        self.validation_batches = share_of(batches, self.processes.rank, self.processes.count)

    # --- the loop ---

    def fit(self) -> None:
        """Train to the end; raises SystemExit(130 or 143) after saving when a signal came."""
        plan, total = self.plan, self.plan.total_steps
        if self.step == 0:
            self._log(validating=True)
        with progress_bar(self.processes.main) as bars:
            bar = bars.add_task(f"train {plan.method_name}", total=total, completed=self.step, note="")
            while self.step < total and not self._stopped_early():
                self.interrupts.deferred = True
                loss = self.optimizer_step()
                self.step += 1
                validating = self.step % plan.train.validate_every == 0 or self.step == total
                if validating or self.step % plan.train.log_every == 0:
                    self._log(validating)
                signal = self.processes.agreed_signal(self.interrupts.signal)
                if signal or self.step % plan.train.checkpoint_every == 0:
                    self._save()
                if signal:
                    self._stop(signal)
                self.interrupts.deferred = False
                bars.update(bar, advance=1, note=f"loss {loss:.3f}")

    def optimizer_step(self) -> float:
        """Run optimizer step `self.step`, counted from 0; returns the loss of its global batch."""
        plan, step, began = self.plan, self.step, time.perf_counter()

        # 1. The rows of this step over all processes, and their noise: pure functions of (seed, step).
        batch = self._batch()

        # 2. What the loss is divided by, and the learning rate.
        total = batch.denominator(plan.train.normalizer)
        set_learning_rate(self.optimizer, step, plan.total_steps, plan.train)

        # 3. The gradient on all processes, clipped.
        loss, norm = self._gradient(batch, total)

        # 4. Stop before a loss or gradient that is not finite; else let the optimizer move the adapter.
        check_finite(loss, norm, step, batch.ids, plan.telling_settings)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.loss_scale.step_taken()
        self.progress.add_step(loss, norm, batch.tokens, time.perf_counter() - began)
        return loss

    def _batch(self) -> GlobalBatch | CausalBatch:
        """The global batch of step `self.step`."""
        plan, density = self.plan, None
        if plan.causal:
            indices = batch_of_step(self.lengths, plan.train.distinct_rows, plan.seed, self.step, self._epochs)
            return CausalBatch(plan.rows, indices, PADDING, plan.train.objective)
        if plan.train.levels == "importance":
            density = level_density(self.progress.level_squares, self.lengths - plan.rows.prompt_lengths)
        config, epochs = self.base_config, self._epochs
        return batch_of(plan.train, plan.rows, self.lengths, config, plan.seed, self.step, epochs, density)

    def _gradient(self, batch: GlobalBatch | CausalBatch, total: float) -> tuple[float, float]:
        """Leave the global batch's clipped gradient in the adapter; its loss, and its norm before clipping.

        A float16 gradient that overflows is computed again with a smaller scale. All processes see the same norm.
        """
        parameters, scale = self.trained, self.progress.loss_scale
        while True:
            loss = float(self.processes.sum(self._accumulate(batch, total)))
            self.processes.average_gradients(parameters)
            if scale.value != 1:
                torch._foreach_div_([one.grad for one in parameters if one.grad is not None], scale.value)
            norm = float(nn.utils.clip_grad_norm_(parameters, self.plan.train.max_gradient_norm))
            if math.isfinite(norm) or not math.isfinite(loss) or not scale.lower():
                return loss, norm
            self.optimizer.zero_grad(set_to_none=True)

    def _accumulate(self, batch: GlobalBatch | CausalBatch, total: float) -> Tensor:
        """Forward and backward, one micro-batch after the other; gradients and losses add up."""
        plan, processes = self.plan, self.processes
        loss = torch.zeros((), device=processes.device)
        parts = share(len(batch), self.accumulation, processes.rank, processes.count)
        for i, part in enumerate(parts):
            if plan.config.dropout > 0:
                torch.manual_seed(_dropout_seed(plan.seed, self.step, i, processes.rank))
            loss += self._backward(batch.micro_batch(part), total, last=i == len(parts) - 1)
        return loss

    def _backward(self, micro: MicroBatch | CausalMicroBatch, total: float, last: bool) -> Tensor:
        """Add the gradient of a micro-batch's share of the loss, and return that share."""
        with nullcontext() if last else self.processes.accelerator.no_sync(self.module):
            loss = self.module(micro.to(self.processes.device), total)
            # DDP averages gradients over the processes; the parts are shares of one loss, so their sum is wanted.
            (loss * (self.processes.count * self.progress.loss_scale.value)).backward()
        return loss.detach()

    def _log(self, validating: bool) -> None:
        """Add a row to the curve, with a validation where one is due."""
        validation = None
        if validating:
            self.module.eval()
            with torch.no_grad():  # not inference_mode: weights that FSDP gathers there could not be trained with after
                validation = validate(
                    self.module, self.validation_batches, self.draws, len(self.validated_rows), self.processes.sum
                )
            self.module.train()
            check_validation(validation, self.validated_rows, self.step, self.plan.telling_settings)
            if self.progress.add_validation(validation, self.step):
                self.best = self._adapter_copy()
        rate = self.optimizer.param_groups[0]["lr"] if self.step else 0.0
        row = self.progress.add_row(self.step, self.step / self.plan.steps_per_epoch, rate, validation)
        if self.plan.train.trackers:
            measured = {key: value for key, value in asdict(row).items() if value is not None}
            self.processes.accelerator.log(measured, step=self.step)

    def _stopped_early(self) -> bool:
        patience = self.plan.train.early_stopping
        return patience is not None and self.progress.without_better >= patience

    def _stop(self, signal: int) -> None:
        if self.processes.main:
            steps = f"{self.step} of {self.plan.total_steps}"
            console.print(f"{self.plan.method_name}: stopped after step {steps}; the same command continues")
        raise SystemExit(128 + signal)

    # --- saving ---

    def _save(self) -> None:
        adapter, optimizer = self._adapter_copy(), self.optimizer.state_dict()
        if self.processes.main:
            checkpoint = Checkpoint(self.step, adapter, optimizer, self.best, self.progress.to_json())
            save_checkpoint(self.plan.run_folder, checkpoint, self.plan.train.keep_checkpoints)

    def finish(self) -> None:
        """Rank 0 writes the adapter folder and removes the resumable state."""
        last = self._adapter_copy()
        if self.processes.main:
            assert self.best is not None
            run = run_facts(self.plan, self.progress, self.step, len(self.validated_rows), self.adapted, self.processes)
            run["tail_tokens"] = self.tail_tokens
            write_adapter_folder(self.plan, self.adapted, self.best, last, run, self.progress.curve)
            for path in self.plan.run_folder.glob("step-*"):
                shutil.rmtree(path)
            bounds = run["validation"]
            change = f"{bounds['first']['loss']:.3f} before, {bounds['best']['loss']:.3f} after"
            what = "loss" if self.plan.causal else "bound"
            console.print(f"{self.plan.output}: validation {what} {change}, nats per answer token", soft_wrap=True)
            if bounds["best"]["step"] == 0:
                console.print(f"{self.plan.output}: {no_gain(run)}", soft_wrap=True)
        self.processes.accelerator.wait_for_everyone()

    def _adapter_copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in trainable_tensors(self.adapted.model).items()}


def _adapter_modules(model: nn.Module) -> list[nn.Module]:
    """The modules that hold nothing but adapter weights."""
    return [module for name, module in model.named_modules() if name.endswith(HOLDERS)]


def _recompute_activations(network: Any, causal: bool) -> None:
    if causal:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        network.model.gradient_checkpointing = True


def _compile_blocks(network: Any, causal: bool) -> None:
    if not causal:
        network.compile_blocks()
        return
    for block in network.get_submodule(layout_of(network).blocks):
        block.compile(dynamic=True)


def _dropout_seed(seed: int, step: int, part: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, part, rank]).generate_state(1, np.uint64)[0] >> 1)
