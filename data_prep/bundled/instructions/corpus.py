"""The bundled corpus: instruction rows in Cendol v2's columns and subsets, with dirt, and plain text on the same world.

    made = tasks(config.rows, seed=42)
    write_corpus(made, seed=42, folder=Path("rows"))      # parquet
    write_answer_keys(made, path=Path("answer_keys.jsonl"))
    plain_texts(config, seed=42)                          # paragraphs

Everything is written by the project and deterministic in (config, seed).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.files import atomic_path, write_json_lines
from data_prep.bundled.instructions.dirt import Row, dirty_rows
from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.content import generator
from data_prep.bundled.language.plain_text import documents
from data_prep.config import BundledConfig
from data_prep.rows.text import COLUMNS

FILES = 2
NAMED_AFTER_THEIR_SUBSET = ("safety_prompt", "identity_prompt")
"""Where Cendol's prompt id, template and key are the subset's name."""


def write_corpus(made: Sequence[Task], seed: int, folder: Path) -> list[Path]:
    """Write a usable row for each task, shuffled together with the dirt, as parquet with Cendol's columns."""
    rows = corpus_rows(made, seed)
    paths = []
    for number in range(FILES):
        path = folder / f"train-{number:05}-of-{FILES:05}.parquet"
        part = rows[number::FILES]
        table = pa.table({name: pa.array([row[name] for row in part], pa.string()) for name in COLUMNS})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)
        paths.append(path)
    return paths


def write_answer_keys(made: Sequence[Task], path: Path) -> None:
    """Write what a right answer to each prompt says, as JSON lines: input, kind, required, forbidden (see `Task`)."""
    write_json_lines(
        path,
        [
            {"input": task.prompt, "kind": task.kind, "required": task.required, "forbidden": task.forbidden}
            for task in made
        ],
    )


def corpus_rows(made: Sequence[Task], seed: int) -> list[Row]:
    """Usable rows and dirt, shuffled."""
    clean = [row_of(task) for task in made]
    rows = clean + dirty_rows(clean, seed)
    generator(seed, "order").shuffle(rows)
    return rows


def row_of(task: Task) -> Row:
    own_name = task.subset in NAMED_AFTER_THEIR_SUBSET
    return {
        "dataset_name": "embedded",
        "subset_name": task.subset,
        "prompt_id": task.subset if own_name else str(uuid.uuid5(uuid.NAMESPACE_OID, task.template)),
        "template_name": task.subset if own_name else task.template,
        "dataset_key": task.subset if own_name else "train",
        "input": task.prompt,
        "output": task.answer,
    }


def plain_texts(config: BundledConfig, seed: int) -> list[str]:
    """Paragraphs of plain Indonesian on the same subjects, as many as there are rows."""
    return [" ".join(document) for document in documents(config.rows, seed)]
