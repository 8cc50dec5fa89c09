"""The recipe of the bundled base: a small LLaDA network pretrained on the bundled plain text with masked diffusion.

    python -m data_prep.bundled.models.pretraining --output /tmp/base            # resumes where it was stopped
    python -m data_prep.bundled.models.pretraining --output /tmp/twin --paradigm causal     # its twin, see `causal`
    python -m data_prep.bundled.models.pretraining --output /tmp/more --start FOLDER        # the last cycle alone

Rows are whole documents, alone in their window: most in the conversation's envelope, the beginning in the user's place
and its continuation in the assistant's, so that header tokens mean something and the network looks from one turn to
the other; the others plain. Every round over the text is written anew, so no document is seen twice. The rate is
constant and falls at the end (Hu et al., "MiniCPM", 2024, warm-up, stable, decay): the constant part can be prolonged.

Every step is a function of (recipe, seed, step): a run that was killed continues with the same bytes.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from common.files import atomic_path, write_json
from data_prep.bundled.language import plain_text
from data_prep.bundled.language.content import generator
from data_prep.bundled.models.causal import causal_twin, next_token_loss
from data_prep.bundled.models.initialisation import initialise
from data_prep.bundled.models.narrowing import narrowed
from data_prep.bundled.models.tokenizer import build_tokenizer
from llada.chat_format import (
    BOS_TOKEN,
    EOS_TOKEN,
    EOT_TOKEN,
    MASK_TOKEN,
    encode_example,
    load_tokenizer,
    save_tokenizer,
    special_token_id,
)
from llada.diffusion.noise import noise_levels, noise_mask
from llada.network.configuration import LLaDAConfig
from llada.network.modeling import LLaDAModelLM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Recipe:
    """Sizes and rates; what a step does depends on nothing else but the seed."""

    paradigm: str = "diffusion"
    """or `causal`: the same rows, each asked position from what stands to its left"""
    seed: int = 42
    vocabulary: int = 1536
    width: int = 128
    layers: int = 7
    heads: int = 4
    mlp_width: int = 192
    rope_theta: float = 10000.0
    batch: int = 16
    documents: int = 20000
    """documents in a round"""
    envelope_share: float = 0.7
    learning_rate: float = 1.5e-3
    head_learning_rate: float = 5e-3
    embedding_learning_rate: float = 1e-2
    weight_decay: float = 0.02
    warmup_steps: int = 100
    moderate_steps: int = 2000
    """steps in which noise is moderate: less asks nothing, more leaves no context to learn from"""
    steps: int = 17000
    """of the first cycle"""
    decay_steps: int = 6000
    """the last of them, in which the rates fall to zero"""
    second_steps: int = 8000
    """of the second cycle, in which the user's turn is always visible: what is asked for is mostly copied from it"""
    third_steps: int = 10000
    """of the third cycle, which is as the second"""
    fourth_steps: int = 20000
    """of the fourth cycle, which reads mostly notes, with more of them masked: an answer begins as nothing but masks"""
    later_rate: float = 0.5
    """where the rates of the later cycles begin, as a share of the first's; they fall to zero over each"""

    @property
    def all_steps(self) -> int:
        return self.steps + sum(self.later_cycles)

    @property
    def later_cycles(self) -> tuple[int, int, int]:
        return self.second_steps, self.third_steps, self.fourth_steps

    @property
    def last_cycle(self) -> int:
        """The step at which it begins; the end where there is no fourth cycle."""
        return self.all_steps - self.fourth_steps


PARADIGMS = ("diffusion", "causal")
MODERATE_NOISE = (0.15, 0.7)
LAST_NOISE = (0.3, 1.0)
TAIL_SHARES = ((0.55, 1), (0.9, 12), (1.0, 40))
"""How many end-of-text tokens follow a document: one, up to 12, up to 40, with these cumulative probabilities."""
STATE = "state.safetensors"
BUCKET = 32
"""Batches among which rows are sorted by length."""
Row = tuple[list[int], int]
"""Token ids, and how many of them are the user's turn."""


def rows_of_round(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, number: int) -> list[list[Row]]:
    """The batches of one round over the text, shuffled; rows of a batch are of similar length."""
    chance = generator(recipe.seed, "round", number)
    last = number * (recipe.documents // recipe.batch) >= recipe.last_cycle
    kinds = plain_text.MOSTLY_NOTES if last else plain_text.KINDS
    documents = plain_text.documents(recipe.documents, recipe.seed * 1_000_003 + number, kinds)
    rows = [encode(document, tokenizer, recipe, chance) for document in documents]
    batches: list[list[Row]] = []
    for start in range(0, len(rows), recipe.batch * BUCKET):
        near = sorted(rows[start : start + recipe.batch * BUCKET], key=lambda row: len(row[0]))
        batches += [near[place : place + recipe.batch] for place in range(0, len(near), recipe.batch)]
    batches = [batch for batch in batches if len(batch) == recipe.batch]
    chance.shuffle(batches)
    return batches


def encode(
    document: plain_text.Document, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, chance: random.Random
) -> Row:
    """A document in the envelope or plain, and end-of-text tokens after it."""
    head, tail = document
    if chance.random() < recipe.envelope_share:
        ids, given = encode_example(tokenizer, head, tail)
    else:
        joint = "\n" if "\n" in head + tail else " "
        text = tokenizer.encode(f"{head}{joint}{tail}", add_special_tokens=False)
        ids, given = [_id(tokenizer, BOS_TOKEN), *text], 0
    draw = chance.random()
    most = next(most for share, most in TAIL_SHARES if draw < share)
    return [*ids, *[_id(tokenizer, EOS_TOKEN)] * chance.randint(1, most)], given


def batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, start: int) -> Iterator[list[Row]]:
    """The batches from step `start` on, without end."""
    per_round = len(rows_of_round(recipe, tokenizer, 0)) if start else 0
    number, skipped = divmod(start, per_round) if start else (0, 0)
    while True:
        found = rows_of_round(recipe, tokenizer, number)
        yield from found[skipped:]
        number, skipped = number + 1, 0


def collate(batch: list[Row], end: int, every: int = 2) -> tuple[Tensor, Tensor]:
    """Ids (B, L) and which may be masked (B, L): never padding, nor the user's turn in the first of `every` rows."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.full((len(batch), longest), end)
    maskable = torch.zeros(ids.shape, dtype=torch.bool)
    for number, (tokens, given) in enumerate(batch):
        ids[number, : len(tokens)] = torch.tensor(tokens)
        maskable[number, (given if number % every == 0 else 0) : len(tokens)] = True
    return ids, maskable


def noised(recipe: Recipe, step: int, batch: list[Row], end: int) -> tuple[Tensor, Tensor]:
    """The ids (B, L) of a step's batch and which are masked in it (B, L); of the causal twin, which are asked for."""
    ids, maskable = collate(batch, end, every=2 if step < recipe.steps else 1)
    if recipe.paradigm == "causal":
        return ids, maskable
    low, high = LAST_NOISE if step >= recipe.last_cycle else (0.0, 1.0)
    if step < recipe.moderate_steps:
        low, high = MODERATE_NOISE
    levels = low + (high - low) * noise_levels(recipe.seed, step, range(len(batch)), global_batch_size=len(batch))
    return ids, noise_mask(recipe.seed, step, range(len(batch)), maskable, levels)


def learning_rate_factor(recipe: Recipe, step: int) -> float:
    """Linear warm-up, constant, linear to zero over the last `decay_steps`; then lower cycles (warm restarts:
    Loshchilov and Hutter, 2017), of which the last warms up again: it may begin with a new optimizer.
    """
    warm = min(1.0, (step + 1) / recipe.warmup_steps)
    if step < recipe.steps:
        return warm * min(1.0, (recipe.steps - step) / max(1, recipe.decay_steps))
    if step >= recipe.last_cycle:
        warm = min(1.0, (step - recipe.last_cycle + 1) / recipe.warmup_steps)
    end = recipe.steps
    for length in recipe.later_cycles:
        end += length
        if step < end:
            return warm * recipe.later_rate * (end - step) / length
    return 0.0


def fresh_network(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Any:
    """LLaDA's network, or of the recipe's paradigm `causal` its twin."""
    model = fresh_model(recipe, tokenizer)
    return causal_twin(model, recipe.seed) if recipe.paradigm == "causal" else model


def fresh_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LLaDAModelLM:
    config = LLaDAConfig(
        d_model=recipe.width,
        n_layers=recipe.layers,
        n_heads=recipe.heads,
        mlp_hidden_size=recipe.mlp_width,
        vocab_size=len(tokenizer),
        max_sequence_length=4096,
        mask_token_id=_id(tokenizer, MASK_TOKEN),
        eos_token_id=_id(tokenizer, EOS_TOKEN),
        pad_token_id=_id(tokenizer, EOS_TOKEN),
        bos_token_id=_id(tokenizer, BOS_TOKEN),
        eot_token_id=_id(tokenizer, EOT_TOKEN),
        rope_theta=recipe.rope_theta,
        init_fn="normal",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = LLaDAModelLM(config)
        initialise(model)
    return model


def make_optimizer(model: Any, recipe: Recipe) -> torch.optim.AdamW:
    """Matrices of the blocks with weight decay; norms, head and embedding without, two of them at their own rates."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    ends = {id(embedding), id(head)}
    matrices = [weight for weight in model.parameters() if weight.dim() == 2 and id(weight) not in ends]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "peak": recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": norms, "peak": recipe.learning_rate, "weight_decay": 0.0},
        {"params": [head], "peak": recipe.head_learning_rate, "weight_decay": 0.0},
        {"params": [embedding], "peak": recipe.embedding_learning_rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def masked_loss(model: LLaDAModelLM, ids: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """Summed cross-entropy at the masked positions, and their number."""
    noisy = ids.masked_fill(mask, model.config.mask_token_id)
    logits = model.get_output_embeddings()(model.hidden(noisy)[mask])
    return cross_entropy(logits, ids[mask], reduction="sum"), int(mask.sum())


def held_out_batches(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, count: int, kinds: plain_text.Kinds, every: int
) -> list[tuple[Tensor, Tensor]]:
    """`count` documents that no round holds, as `collate` gives them."""
    chance = generator(recipe.seed, "held out")
    documents = plain_text.documents(count, recipe.seed * 1_000_003 - 1, kinds)
    rows = sorted((encode(one, tokenizer, recipe, chance) for one in documents), key=lambda row: len(row[0]))
    end = _id(tokenizer, EOS_TOKEN)
    return [collate(rows[start : start + 40], end, every) for start in range(0, len(rows), 40)]


@torch.no_grad()
def losses_by_share(
    model: LLaDAModelLM, held_out: list[tuple[Tensor, Tensor]], device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Cross-entropy per masked token, by the share of what may be masked that is."""
    found = {}
    for share in (0.15, 0.5, 0.9, 1.0):
        dice = torch.Generator().manual_seed(1)
        total, count = 0.0, 0
        for ids, maskable in held_out:
            mask = (torch.rand(ids.shape, generator=dice) < share) & maskable
            if mask.any():
                loss, masked = masked_loss(model, ids.to(device), mask.to(device))
                total, count = total + loss.item(), count + masked
        found[str(share)] = round(total / count, 4)
    return found


class Pretraining:
    """A run in `folder`: state.safetensors to resume from, log.jsonl, and at the end the published layout in `base`."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: str = "cpu",
        tokenizer: Path | None = None,
        start: Path | None = None,
    ) -> None:
        """Begin in `folder`, or go on there; with the tokenizer of another folder, or one made from the text.

        start: a base with whose weights and tokenizer the last cycle begins; of a wider one the units are kept that do
            most, see `narrowing`.
        """
        tokenizer = tokenizer or start
        self.recipe, self.folder, self.device = recipe, folder, torch.device(device)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "recipe.json", asdict(recipe))
        if tokenizer is not None:
            save_tokenizer(load_tokenizer(tokenizer), folder / "tokenizer")
        if not (folder / "tokenizer" / "tokenizer.json").is_file():
            texts = [" ".join(document) for document in plain_text.documents(recipe.documents, recipe.seed)]
            build_tokenizer(texts, recipe.vocabulary, folder / "tokenizer")
        self.tokenizer = load_tokenizer(folder / "tokenizer")
        self.end = _id(self.tokenizer, EOS_TOKEN)
        self.model = fresh_network(recipe, self.tokenizer)
        torch.nn.Module.to(self.model, self.device)
        self.optimizer = make_optimizer(self.model, recipe)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        if (folder / STATE).is_file():
            self._resume()
        self.held_out = held_out_batches(recipe, self.tokenizer, min(1000, recipe.documents), plain_text.KINDS, every=2)
        if start is not None and not (folder / STATE).is_file():
            narrowed(start, self.model, (ids for ids, _ in self.held_out))
            self.step = recipe.last_cycle

    def train(self, until: int, save_every: int = 500, log_every: int = 250) -> None:
        self.model.train()
        recent: list[float] = []
        began = time.perf_counter()
        for batch in batches(self.recipe, self.tokenizer, self.step):
            if self.step >= min(until, self.recipe.all_steps):
                break
            recent.append(self._step(batch))
            if self.step % log_every == 0:
                now = time.perf_counter()
                self.seconds += now - began
                began = now
                entry = {
                    "step": self.step,
                    "tokens": self.tokens,
                    "seconds": round(self.seconds),
                    "loss": round(float(np.mean(recent)), 4),
                }
                if self.step % (8 * log_every) == 0:
                    entry["held_out"] = self.evaluate()
                self._log(entry)
                recent = []
            if self.step % save_every == 0:
                self.save()
        self.seconds += time.perf_counter() - began
        self.save()
        self._log(
            {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds), "held_out": self.evaluate()}
        )

    def _step(self, batch: list[Row]) -> float:
        loss = self.learn(*noised(self.recipe, self.step, batch, self.end))
        self.tokens += sum(len(tokens) for tokens, _ in batch)
        return loss

    def learn(self, ids: Tensor, mask: Tensor) -> float:
        """One step of the optimizer on ids (B, L) with a mask (B, L), both on the CPU; the mean loss before it."""
        total, count = self._loss(ids, mask)
        loss = total / max(1, count)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(self.recipe, self.step)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _loss(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, int]:
        loss = next_token_loss if self.recipe.paradigm == "causal" else masked_loss
        return loss(self.model, ids.to(self.device), mask.to(self.device))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Cross-entropy per masked token of documents never trained on, by share of tokens masked; of the causal twin
        per token, with the user's turn visible in half of the rows, as there.
        """
        if self.recipe.paradigm == "causal":
            losses = [self._loss(*batch) for batch in self.held_out]
            return {"causal": round(sum(loss.item() for loss, _ in losses) / sum(count for _, count in losses), 4)}
        return losses_by_share(self.model, self.held_out, self.device)

    def save(self) -> None:
        """Weights, the optimizer's moments and the counters, in one file that replaces the one before."""
        tensors = {name: weight.detach() for name, weight in self.model.named_parameters()}
        tensors |= {
            f"{moment}/{name}": value
            for name, weight in self.model.named_parameters()
            for moment, value in self.optimizer.state[weight].items()
        }
        counters = {"step": str(self.step), "tokens": str(self.tokens), "seconds": repr(self.seconds)}
        with atomic_path(self.folder / STATE) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=counters)

    @torch.no_grad()
    def _resume(self) -> None:
        with safe_open(self.folder / STATE, framework="pt", device=str(self.device)) as file:
            counters = file.metadata()
            names = set(file.keys())
            for name, weight in self.model.named_parameters():
                weight.copy_(file.get_tensor(name))
                moments = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in names]
                self.optimizer.state[weight] = {key: file.get_tensor(f"{key}/{name}") for key in moments}
        self.step, self.tokens = int(counters["step"]), int(counters["tokens"])
        self.seconds = float(counters["seconds"])

    def publish(self, folder: Path) -> None:
        """Write the base in the published layout, in 16 bits. The run itself goes on in 32."""
        halved = copy.deepcopy(self.model).half()
        halved.save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder)

    def _log(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry)
        print(line, flush=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(line + "\n")


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    identifier = special_token_id(tokenizer, token)
    assert identifier is not None  # load_tokenizer has checked
    return identifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--until", type=int, default=10**9, help="stop after this step, to be continued")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokenizer", type=Path, help="folder whose tokenizer is taken; default: one is made")
    parser.add_argument("--start", type=Path, help="folder of a base with which the last cycle begins")
    parser.add_argument("--threads", type=int, default=0)
    for name, value in asdict(Recipe()).items():
        choices = PARADIGMS if name == "paradigm" else None
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, choices=choices)
    arguments = vars(parser.parse_args())
    output, until, device, threads, tokenizer, start = (
        arguments.pop(name) for name in ("output", "until", "device", "threads", "tokenizer", "start")
    )
    if start is not None and arguments["paradigm"] == "causal":
        parser.error("--start: begins with a diffusion base; the twin (--paradigm causal) has none to begin with")
    if threads:
        torch.set_num_threads(threads)
    run = Pretraining(Recipe(**arguments), output, device, tokenizer, start)
    run.train(until)
    run.publish(output / "base")


if __name__ == "__main__":
    main()
