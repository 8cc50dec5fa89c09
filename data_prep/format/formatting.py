"""Stage `format`: the splits as token ids in LLaDA's chat form, ready for training and evaluation.

Each row becomes prompt (begin-of-text, system message if any, user message, the assistant's header) and answer with its
`<|eot_id|>`; no header follows the answer. Rows over `max_length` tokens are treated as `data.overlong` says:

    truncate_answer  the answer loses its end and, with it, the `<|eot_id|>`: an end that was not reached is not taught.
                     A prompt so long that it leaves the answer less than a quarter of the tokens loses its end first.
    truncate_prompt  the user's text loses its end until the whole answer fits, down to a quarter of the tokens; then
                     the answer is truncated as above
    drop             the row is left out of training and validation; test rows are truncated (the sizes stay as drawn)

All of it is counted per split in `format.json`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError
from common.files import atomic_folder, write_json
from common.progress import track
from data_prep.config import DataConfig
from data_prep.rows.tables import print_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPLITS = ("train", "validation", "test")
KEPT_SHARE = 4
"""The side that is not the first to be truncated may take all but 1 / KEPT_SHARE of the tokens."""
CHARACTERS_PER_TOKEN = 64
"""No text is tokenised beyond max_length times this: one cell of a megabyte would take minutes."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("subset_name", pa.string()),
        ("template_name", pa.string()),
        ("cluster", pa.int32()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("input_ids", pa.list_(pa.int32())),
        ("prompt_length", pa.int32()),
        ("truncated", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Example:
    """One row as token ids: prompt, then answer, which ends with `<|eot_id|>` unless it is truncated."""

    input_ids: list[int]
    prompt_length: int
    prompt_truncated: bool = False
    answer_truncated: bool = False


def format_splits(data: DataConfig, *, splits: Path, tokenizer: Path, formatted: Path, facts: Path) -> None:
    """Write `train`, `validation` and `test` parquet files with SCHEMA's columns, and the lengths and counts.

    Raises:
        InputError: no tokenizer with LLaDA's special tokens; `max_length` too small for the chat form; a split whose
            rows are all dropped.
    """
    from llada.chat_format import load_tokenizer
    from llada.errors import CheckpointError

    try:
        loaded = load_tokenizer(tokenizer)
    except CheckpointError as error:
        raise InputError(f"model.base: {error}") from error
    described: dict[str, Any] = {}
    with atomic_folder(formatted) as folder:
        for name in SPLITS:
            rows = pq.read_table(splits / f"{name}.parquet")
            table, described[name] = _format(data, loaded, rows, name)
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    settings = {"max_length": data.max_length, "overlong": data.overlong, "system_prompt": data.system_prompt}
    result = {**settings, "splits": described}
    write_json(facts, result)
    _print(result)


def _format(
    data: DataConfig, tokenizer: PreTrainedTokenizerFast, rows: pa.Table, name: str
) -> tuple[pa.Table, dict[str, Any]]:
    counts: Counter[str] = Counter()
    kept: list[dict[str, Any]] = []
    lengths: list[tuple[int, int]] = []
    for row in track(rows.to_pylist(), f"formatting {name}"):
        example = encode(tokenizer, row["input"], row["output"], data)
        lost = example.prompt_truncated or example.answer_truncated
        counts["over_length"] += lost
        if lost and data.overlong == "drop" and name != "test":
            counts["dropped"] += 1
            continue
        counts["prompt_truncated"] += example.prompt_truncated
        counts["answer_truncated"] += example.answer_truncated
        counts["lost_eot"] += example.answer_truncated
        lengths.append((example.prompt_length, len(example.input_ids) - example.prompt_length))
        kept.append(
            {
                **{column: row[column] for column in ("id", "subset_name", "template_name", "cluster")},
                "prompt": row["input"],
                "answer": row["output"],
                "input_ids": example.input_ids,
                "prompt_length": example.prompt_length,
                "truncated": lost,
            }
        )
    if not kept:
        raise InputError(f"data.max_length: {data.max_length}: every row of {name} is longer and dropped; raise it")
    names = ("over_length", "dropped", "prompt_truncated", "answer_truncated", "lost_eot")
    described = {"rows": len(kept), **{count: counts[count] for count in names}, **_describe(lengths)}
    return pa.Table.from_pylist(kept, SCHEMA), described


def encode(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str, data: DataConfig) -> Example:
    """One row as token ids within `data.max_length`.

    Raises:
        InputError: the chat form alone takes more tokens than there is room for.
    """
    from llada.chat_format import encode_example

    limit = data.max_length
    far = limit * CHARACTERS_PER_TOKEN
    ids, start = encode_example(tokenizer, prompt[:far], answer[:far], system=data.system_prompt)
    whole = len(prompt) <= far and len(answer) <= far
    if len(ids) <= limit and whole:
        return Example(ids, start)
    answer_share = limit - limit // KEPT_SHARE if data.overlong == "truncate_prompt" else limit // KEPT_SHARE
    room = limit - min(len(ids) - start, answer_share)
    prompt_truncated = start > room or len(prompt) > far
    if start > room:
        shorter = _shorten(tokenizer, prompt[:far], room, data)
        ids, start = encode_example(tokenizer, shorter, answer[:far], system=data.system_prompt)
    answer_truncated = len(ids) > limit or len(answer) > far
    if answer_truncated:
        ids = ids[: min(limit, len(ids) - 1)]  # without its end
    return Example(ids, start, prompt_truncated, answer_truncated)


def _shorten(tokenizer: PreTrainedTokenizerFast, prompt: str, room: int, data: DataConfig) -> str:
    """The longest beginning of the user's text with which the prompt takes `room` tokens at most (by bisection)."""
    from llada.chat_format import encode_prompt

    system = [{"role": "system", "content": data.system_prompt}] if data.system_prompt else []

    def tokens(characters: int) -> int:
        return len(encode_prompt(tokenizer, [*system, {"role": "user", "content": prompt[:characters]}]))

    form = tokens(0)
    if form > data.max_length - data.max_length // KEPT_SHARE:
        raise InputError(
            f"data.max_length: {data.max_length}: the chat form alone takes {form} tokens; raise it, or shorten "
            "data.system_prompt"
        )
    room = max(room, form)
    low, high = 0, len(prompt)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens(middle) <= room else (low, middle - 1)
    return prompt[:low]


def _describe(lengths: list[tuple[int, int]]) -> dict[str, Any]:
    """Quantiles of the lengths in tokens."""
    prompt, answer = np.array(lengths).T
    points = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    described = {
        name: {"mean": round(float(values.mean()), 1)}
        | {label: int(np.quantile(values, share, method="higher")) for label, share in points.items()}
        for name, values in (("prompt_tokens", prompt), ("answer_tokens", answer), ("tokens", prompt + answer))
    }
    return {**described, "total_tokens": int((prompt + answer).sum())}


def _print(facts: dict[str, Any]) -> None:
    from rich.table import Table

    shown = Table(title=f"tokens per row (at most {facts['max_length']}, {facts['overlong']})")
    columns = (
        "split",
        "rows",
        "prompt median",
        "answer median",
        "longest",
        "over length",
        "dropped",
        "lost <|eot_id|>",
    )
    for name in columns:
        shown.add_column(name, justify="left" if name == "split" else "right")
    for name, split in facts["splits"].items():
        values = (
            split["rows"],
            split["prompt_tokens"]["median"],
            split["answer_tokens"]["median"],
            split["tokens"]["max"],
            split["over_length"],
            split["dropped"],
            split["lost_eot"],
        )
        shown.add_row(name, *(f"{value:,}" for value in values))
    print_table(shown)
