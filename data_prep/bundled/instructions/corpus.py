"""The bundled corpus: instruction rows in Cendol v2's columns and subsets, and plain Indonesian text for
pretraining.

    write_corpus(config, seed=42, folder=Path("rows"))    # parquet
    plain_texts(config, seed=42)                          # paragraphs

Everything is written by the project and deterministic in (config, seed). A content yields one row for each
template by which it is asked; the first round takes one row of each content, the next rounds add siblings until
the subset's quota is full.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError
from common.files import atomic_path
from data_prep.bundled.instructions import articles, exercises, howto, pantun, safety_and_identity, stories
from data_prep.bundled.instructions.dirt import Row, dirty_rows
from data_prep.bundled.language.content import Content, generator
from data_prep.bundled.language.prose import paragraphs
from data_prep.config import BundledConfig
from data_prep.rows.quotas import fill, largest_remainder
from data_prep.rows.text import COLUMNS

SHARES = {"wikipedia_id": 42, "dolly": 38, "indo_puisi": 8, "wikihow": 8, "safety_prompt": 2, "identity_prompt": 2}
"""Per cent of the usable rows; closer to the original's order of sizes than to its extremes."""
FILES = 2


def write_corpus(config: BundledConfig, seed: int, folder: Path) -> list[Path]:
    """Write `config.rows` usable rows, shuffled together with the dirt, as parquet with Cendol's columns."""
    rows = corpus_rows(config, seed)
    paths = []
    for number in range(FILES):
        path = folder / f"train-{number:05}-of-{FILES:05}.parquet"
        part = rows[number::FILES]
        table = pa.table({name: pa.array([row[name] for row in part], pa.string()) for name in COLUMNS})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)
        paths.append(path)
    return paths


def corpus_rows(config: BundledConfig, seed: int) -> list[Row]:
    """Usable rows and dirt, shuffled."""
    clean = usable_rows(config, seed)
    rows = clean + dirty_rows(clean, seed)
    generator(seed, "order").shuffle(rows)
    return rows


def usable_rows(config: BundledConfig, seed: int) -> list[Row]:
    """Exactly `config.rows` rows whose normalised pairs are all different.

    Raises:
        InputError: more rows are asked for than there is content.
    """
    by_subset: dict[str, list[Content]] = {name: [] for name in SHARES}
    for content in all_contents(config.rows, seed):
        by_subset[content.subset].append(content)
    capacities = {name: len(_pairs(contents)) for name, contents in by_subset.items()}
    if sum(capacities.values()) < config.rows:
        raise InputError(
            f"data.embedded.rows: {config.rows}; the bundled corpus has at most {sum(capacities.values())} rows"
        )
    quotas = fill(largest_remainder(SHARES, config.rows), capacities)
    return [row for name, quota in quotas.items() for row in _take(by_subset[name], quota, seed)]


def all_contents(rows: int, seed: int) -> list[Content]:
    """Every content; stories and exercises grow with the number of rows."""
    return [
        *articles.contents(seed),
        *exercises.contents(seed, int(rows * 0.2)),
        *stories.contents(seed, int(rows * 0.035)),
        *pantun.contents(),
        *howto.contents(seed),
        *safety_and_identity.contents(seed),
    ]


def plain_texts(config: BundledConfig, seed: int) -> list[str]:
    """Paragraphs of plain Indonesian on the same subjects, for tokenizer, encoder and base."""
    return paragraphs(config.rows, seed)


def _pairs(contents: list[Content]) -> set[tuple[str, str]]:
    return {(pair.prompt, pair.answer) for content in contents for pair in content.pairs}


def _take(contents: list[Content], quota: int, seed: int) -> list[Row]:
    """`quota` rows in rounds over the contents, each content's templates in an order of its own."""
    order = list(contents)
    generator(seed, "contents", order[0].subset).shuffle(order)
    orders = {
        content.key: generator(seed, "templates", content.key).sample(content.pairs, len(content.pairs))
        for content in order
    }
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for turn in range(max(map(len, orders.values()))):
        for content in order:
            if turn >= len(orders[content.key]):
                continue
            pair = orders[content.key][turn]
            if (pair.prompt, pair.answer) in seen:
                continue
            seen.add((pair.prompt, pair.answer))
            rows.append(_row(content.subset, pair.template, pair.prompt, pair.answer))
            if len(rows) == quota:
                return rows
    return rows


def _row(subset: str, template: str, prompt: str, answer: str) -> Row:
    own_name = subset in ("safety_prompt", "identity_prompt")  # where Cendol names everything after the subset
    return {
        "dataset_name": "embedded",
        "subset_name": subset,
        "prompt_id": subset if own_name else str(uuid.uuid5(uuid.NAMESPACE_OID, template)),
        "template_name": template,
        "dataset_key": subset if own_name else "train",
        "input": prompt,
        "output": answer,
    }
