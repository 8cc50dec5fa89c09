"""The bundled base, read on for the time that is left, and kept if that made it better.

From the shipped weights its recipe's last cycle once more (`data_prep/bundled/models/pretraining.py`): mostly notes
that no cycle before has read, the user's turn visible, the rates from half the first cycle's to zero. The first steps
say how many fit into the time. Batches are eight times larger than the recipe's, because a network of this size leaves
a GPU idle, and other processes write and mask the text ahead, as a function of (recipe, round).

Both bases are then measured alike, from their files in 16 bits: the likelihood bound of 600 documents that neither has
read, on the same masks. The new one is better where the 95% interval of the paired difference lies below zero; then it
stands, as a base folder, beside the JSON.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adapters.base import load_base
from adapters.config import ModelConfig
from benchmarks.cuda_parts.setting import Setting, record, setting
from common.files import atomic_folder
from data_prep.bundled.language import plain_text
from data_prep.bundled.language.content import generator
from data_prep.bundled.models.base import MODEL_FILES, SHIPPED
from data_prep.bundled.models.pretraining import Pretraining, Recipe, encode, noised, rows_of_round
from eval.metrics.statistics import Array, compare, mean
from llada.chat_format import EOS_TOKEN, load_tokenizer, special_token_id
from llada.diffusion.likelihood import log_likelihoods

MODEL = ModelConfig.model_validate({"dtype": "float32"})
SEED = 43
"""Of the text, the masks and the resamples; the shipped base has read that of seed 42."""
LONGEST = 200_000
"""Steps: more than any time has room for, until the speed is known."""
Noised = tuple[np.ndarray, np.ndarray]
"""The ids and the mask of a step, (B, L) each."""


def main() -> None:
    given = setting(__doc__)
    documents, samples, workers = (20, 4, 1) if given.quick else (600, 16, 12)
    # forked while this process has no threads yet and has not touched the GPU, nor will they
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        recipe = recipe_of(given.quick)
        ahead = batches(pool, recipe, workers)
        began = time.perf_counter()
        shipped = measure(given, SHIPPED, documents, samples)
        spent = time.perf_counter() - began
        record("shipped", bound=float(mean(shipped.sum(axis=0))), documents=documents, samples=samples)
        reserve = 2 * spent + 5  # to measure again, and to write
        if given.left < reserve + 20:
            record("read on", not_run="too little time was left")
        else:
            run = read_on(given, recipe, ahead, given.end - reserve)
            report(given, run, shipped, measure(given, given.folder / "base", documents, samples))
        pool.shutdown(cancel_futures=True)


def recipe_of(quick: bool) -> Recipe:
    """The last cycle of the shipped base's recipe, of unknown length."""
    alone = {"steps": 0, "second_steps": 0, "third_steps": 0, "fourth_steps": LONGEST, "moderate_steps": 0}
    cycle = replace(Recipe(), seed=SEED, batch=8 * Recipe.batch, **alone)
    return replace(cycle, batch=4, documents=64, warmup_steps=4) if quick else cycle


def batches(pool: ProcessPoolExecutor, recipe: Recipe, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and masks of step 0, 1, ..., each round written in another process while those before are learnt."""
    waiting: deque[Future[list[Noised]]] = deque(pool.submit(of_round, recipe, number) for number in range(workers))
    number = workers

    def follow(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for ids, mask in waiting.popleft().result():
                yield torch.from_numpy(ids), torch.from_numpy(mask)
            waiting.append(pool.submit(of_round, recipe, number))
            number += 1

    return follow(number)


def of_round(recipe: Recipe, number: int) -> list[Noised]:
    """What is learnt in the steps of one round over the text."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(SHIPPED)
    end = special_token_id(tokenizer, EOS_TOKEN)
    assert end is not None
    found = rows_of_round(recipe, tokenizer, number)
    steps = (noised(recipe, number * len(found) + place, batch, end) for place, batch in enumerate(found))
    return [(ids.numpy(), mask.numpy()) for ids, mask in steps]


def read_on(given: Setting, recipe: Recipe, ahead: Iterator[tuple[Tensor, Tensor]], end: float) -> Pretraining:
    """Train until `end`, and publish into `folder/base`."""
    tokenizer = given.folder / "run" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for name in MODEL_FILES[2:]:
        shutil.copyfile(SHIPPED / name, tokenizer / name)
    run = Pretraining(recipe, given.folder / "run", given.device.type)
    weights = load_base(MODEL, SHIPPED, given.device).state_dict()
    run.model.load_state_dict(weights)
    run.model.train()
    most, began = 6 if given.quick else LONGEST, 0.0
    for ids, mask in ahead:
        began = began or time.perf_counter()  # the text is there
        run.learn(ids, mask)
        run.tokens += int((ids != run.end).sum())
        if run.step == recipe.warmup_steps:
            per_step = (time.perf_counter() - began) / run.step
            left = int((end - time.perf_counter()) / per_step * 0.95)
            run.recipe = replace(recipe, fourth_steps=min(most, run.step + max(1, left)))
        if run.step >= run.recipe.all_steps or time.perf_counter() > end:
            break
    run.seconds = time.perf_counter() - began
    run.publish(given.folder / "base")
    return run


def measure(given: Setting, base: Path, documents: int, samples: int) -> Array:
    """(n, 2): nats and tokens of each held-out document, of its continuation where it has a user's turn."""
    tokenizer, recipe, chance = load_tokenizer(base), Recipe(), generator(SEED, "held out")
    texts = plain_text.documents(documents, recipe.seed * 1_000_003 - 1, plain_text.MOSTLY_NOTES)
    rows = [encode(text, tokenizer, recipe, chance) for text in texts]
    network = load_base(MODEL, base, given.device)
    prompts, answers = [ids[:given_ids] for ids, given_ids in rows], [ids[given_ids:] for ids, given_ids in rows]
    found = log_likelihoods(network, prompts, answers, samples, seed=SEED)
    return np.array([(-one.estimate, len(answer)) for one, answer in zip(found, answers, strict=True)])


def per_token(scores: Array) -> Array:
    return scores[:, 0] / scores[:, 1]


def report(given: Setting, run: Pretraining, shipped: Array, now: Array) -> None:
    """Say which base is better, and keep the new one if it is that."""
    names, scores = ("read on", "shipped"), (per_token(now), per_token(shipped))
    found = compare(names, "bound", (now, shipped), scores, mean, resamples=10_000, permutations=2_000, seed=SEED)
    better = found.high < 0
    if better and given.keep is not None:
        with atomic_folder(given.keep) as folder:
            shutil.copytree(given.folder / "base", folder, dirs_exist_ok=True)
    record(
        "read on", bound=float(mean(now.sum(axis=0))), steps=run.step, tokens=run.tokens, seconds=run.seconds,
        better=better, kept=given.keep.name if better and given.keep else None,
        difference={key: asdict(found)[key] for key in ("difference", "low", "high", "p", "n")},
        recipe=asdict(run.recipe),
    )  # fmt: skip


if __name__ == "__main__":
    main()
