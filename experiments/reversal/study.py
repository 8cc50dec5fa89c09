"""Teach every method the rows of `pairs`, ask both ways, and write down what the answers say.

The trainings are ordinary ones: a plan of the profile with other rows. Finished ones are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common.files import atomic_folder, write_json
from experiments.reversal.outcome import DIRECTIONS, Answered, answered, content
from experiments.reversal.pairs import Pair, Row, make_pairs, training_rows
from training.plan import TrainingPlan, is_finished

Answerer = Callable[[Sequence[str]], list[str]]
"""Questions to answers, in order: a model behind its chat form, or whatever stands in for one."""


def ask(answer: Answerer, pairs: Sequence[Pair]) -> list[Answered]:
    """Every pair in both directions."""
    asked = [(pair, direction) for pair in pairs for direction in DIRECTIONS]
    answers = answer([pair.question(direction) for pair, direction in asked])
    return [answered(*one, text) for one, text in zip(asked, answers, strict=True)]


def study(
    plans: Sequence[TrainingPlan],
    output: Path,
    *,
    pairs: int,
    epochs: float,
    seed: int,
    train: Callable[[TrainingPlan], None],
    answerer: Callable[[TrainingPlan], Answerer],
) -> dict[str, Any]:
    """Train and ask each method; write and return reversal.json.

    Args:
        plans: one of each method, of either paradigm; rows, epochs, output and seed are replaced.
        pairs: of each kind. seed: of the pairs and of the trainings.
        train: `training.trainer.train`, or what stands in for it. answerer: of a finished training.
    """
    known = make_pairs(pairs, seed)
    rows = training_rows(known, seed)
    found = {}
    for plan in plans:
        formatted = output / "rows" / plan.base_sha256[:16]
        if not formatted.is_dir():
            write_rows(rows, plan.base, formatted)
        settings = plan.train.model_copy(update={"epochs": epochs, "max_steps": None})
        own = replace(plan, train=settings, formatted=formatted, seed=seed, output=output / plan.method_name)
        if not is_finished(own):
            train(own)
        found[plan.method_name] = ask(answerer(own), known)
        result = content(found, seed)
        write_json(output / "reversal.json", result)
    return result


def write_rows(rows: Sequence[Row], base: Path, folder: Path) -> None:
    """train.parquet, and as validation.parquet the same rows: what is wanted is that they are learnt by heart."""
    from llada.chat_format import encode_example, load_tokenizer

    tokenizer = load_tokenizer(base)
    encoded = [encode_example(tokenizer, row.prompt, row.answer) for row in rows]
    table = pa.table(
        {
            "id": [f"row-{number}" for number in range(len(rows))],
            "input_ids": pa.array([ids for ids, _ in encoded], pa.list_(pa.int32())),
            "prompt_length": pa.array([length for _, length in encoded], pa.int32()),
        }
    )
    with atomic_folder(folder) as place:
        for name in ("train", "validation"):
            pq.write_table(table, place / f"{name}.parquet")
