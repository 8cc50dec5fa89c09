"""Stage `format`: the splits as token ids in the base's chat form, ready for training and evaluation.

Each row becomes prompt (begin-of-text, system message if any, user message, the assistant's header) and answer with its
end of turn (LLaDA's `<|eot_id|>`); no header follows the answer. Rows over `max_length` tokens are treated as
`data.overlong` says:

    truncate_answer  the answer loses its end and, with it, the `<|eot_id|>`: an end that was not reached is not taught.
                     A prompt so long that it leaves the answer less than a quarter of the tokens loses its end first.
    truncate_prompt  the user's text loses its end until the whole answer fits, down to a quarter of the tokens; then
                     the answer is truncated as above
    drop             the row is left out of training and validation; test rows are truncated (the sizes stay as drawn)

A turn of a conversation has the turns before it in its prompt. Where they do not fit, whole turns go, the oldest first,
always up to a question of the user's; what stays is truncated as above. A row's own system prompt takes the place of
`data.system_prompt`. Raw text is cut instead (`documents`).

All of it is counted per split in `format.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import seals
from common.errors import InputError
from common.files import atomic_folder, write_json
from common.progress import track
from common.records import Record, read_record
from data_prep.config import DataConfig
from data_prep.format.documents import continuation, pieces
from data_prep.format.example import CHARACTERS_PER_TOKEN, Example
from data_prep.rows.conversation import Message, read_history, whole_prompt
from data_prep.rows.documents import FORM, is_document
from data_prep.rows.tables import print_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPLITS = ("train", "validation", "test")
TWIN = "twin"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json")
KEPT_SHARE = 4
"""The side that is not the first to be truncated may take all but 1 / KEPT_SHARE of the tokens."""
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
        ("ended", pa.bool_()),  # the last token is the end of the answer, or of the text
    ]
)


class _Split(Record):
    """What is read of the facts of `split`."""

    rows: dict[str, int]


def format_splits(
    data: DataConfig,
    *,
    splits: Path,
    tokenizer: Path,
    formatted: Path,
    facts: Path,
    split_facts: Path | None = None,
    twin: Path | None = None,
) -> None:
    """Write `train`, `validation` and `test` parquet files with SCHEMA's columns, and the lengths and counts.

    Args:
        twin: folder of the autoregressive base; the same rows in its chat form go to the folder `twin`.

    Raises:
        InputError: no tokenizer with LLaDA's special tokens or a chat template; `max_length` too small for the chat
            form; a split whose rows are all dropped, or that holds other rows than the stage split recorded
            (`split_facts`).
    """
    from llada.chat_format import load_tokenizer
    from llada.errors import CheckpointError

    places = {"": ("model.base", tokenizer)} | ({TWIN: ("twin.base", twin)} if twin is not None else {})
    tokenizers = {}
    for place, (key, base) in places.items():
        try:
            tokenizers[place] = load_tokenizer(base)
        except CheckpointError as error:
            raise InputError(f"{key}: {error}") from error
    recorded = read_record(split_facts, _Split, "python -m pipeline split").rows if split_facts is not None else {}
    described: dict[str, dict[str, Any]] = {place: {} for place in places}
    with atomic_folder(formatted) as folder:
        for name in SPLITS:
            rows = pq.ParquetFile(splits / f"{name}.parquet").read()
            if rows.num_rows != recorded.get(name, rows.num_rows):
                raise InputError(
                    f"{splits / name}.parquet: {rows.num_rows:,} rows, but the stage split recorded "
                    f"{recorded[name]:,} ({split_facts}); run it again"
                )
            for place, loaded in tokenizers.items():
                table, described[place][name] = _format(data, loaded, rows, name)
                (folder / place).mkdir(exist_ok=True)
                pq.write_table(table, folder / place / f"{name}.parquet", compression="zstd")
    settings = {"max_length": data.max_length, "overlong": data.overlong, "system_prompt": data.system_prompt}
    result = {**settings, "splits": described[""]}
    if twin is not None:
        result["twin"] = {"splits": described[TWIN]}
    read = [path for path in (splits, split_facts) if path is not None]
    bases = [base for _, base in places.values()]
    read += [base / name for base in bases for name in TOKENIZER_FILES if (base / name).is_file()]
    write_json(facts, seals.sealed(facts, result, read=read, wrote=[formatted]))
    _print(result)


def _format(
    data: DataConfig, tokenizer: PreTrainedTokenizerFast, rows: pa.Table, name: str
) -> tuple[pa.Table, dict[str, Any]]:
    counts: Counter[str] = Counter()
    kept: list[dict[str, Any]] = []
    for row in track(rows.to_pylist(), f"formatting {name}"):
        described = {column: row[column] for column in ("id", "subset_name", "template_name", "cluster")}
        if is_document(row):
            made = _of_document(tokenizer, row["output"], data, name)
            counts["documents"] += 1
            counts["over_length"] += len(made) > 1 or made[0][0].answer_truncated
            for place, (example, prompt, answer) in enumerate(made):
                own = described if place == 0 else described | {"id": f"{row['id']}+{place}"}
                kept.append(_record(own, prompt, answer, example))
            continue
        history, system = read_history(row.get("history")), row.get("system")
        example = encode(tokenizer, row["input"], row["output"], data, history, system)
        lost = _lost(example)
        counts["over_length"] += lost
        if lost and data.overlong == "drop" and name != "test":
            counts["dropped"] += 1
            continue
        counts["prompt_truncated"] += example.prompt_truncated
        counts["answer_truncated"] += example.answer_truncated
        counts["lost_eot"] += example.answer_truncated
        counts["turns_left_out"] += example.turns_left_out
        kept.append(_record(described, whole_prompt(row["input"], row.get("history")), row["output"], example))
    if not kept:
        raise InputError(f"data.max_length: {data.max_length}: every row of {name} is longer and dropped; raise it")
    names = ["over_length", "dropped", "prompt_truncated", "answer_truncated", "lost_eot"]
    names += ["turns_left_out"] if "history" in rows.column_names else []
    names += ["documents"] if FORM in rows.column_names else []
    lengths = [(row["prompt_length"], len(row["input_ids"]) - row["prompt_length"]) for row in kept]
    described = {"rows": len(kept), **{count: counts[count] for count in names}, **_describe(lengths)}
    return pa.Table.from_pylist(kept, SCHEMA), described


def _of_document(
    tokenizer: PreTrainedTokenizerFast, text: str, data: DataConfig, name: str
) -> list[tuple[Example, str, str]]:
    """(example, prompt, answer) of each row that a document becomes."""
    if name == "test":
        return [continuation(tokenizer, text, data.max_length)]
    made = pieces(tokenizer, text, data.max_length)
    if len(made) == 1:
        return [(made[0], "", text)]
    return [(piece, "", str(tokenizer.decode(piece.input_ids, skip_special_tokens=True))) for piece in made]


def _record(described: dict[str, Any], prompt: str, answer: str, example: Example) -> dict[str, Any]:
    """A row of SCHEMA."""
    return {
        **described,
        "prompt": prompt,
        "answer": answer,
        "input_ids": example.input_ids,
        "prompt_length": example.prompt_length,
        "truncated": _lost(example),
        "ended": not example.answer_truncated,
    }


def _lost(example: Example) -> bool:
    return example.prompt_truncated or example.answer_truncated or example.turns_left_out > 0


def encode(
    tokenizer: PreTrainedTokenizerFast,
    prompt: str,
    answer: str,
    data: DataConfig,
    history: Sequence[Message] = (),
    system: str | None = None,
) -> Example:
    """One row as token ids within `data.max_length`.

    Args:
        history: the turns before the prompt. system: the row's own system prompt, instead of `data.system_prompt`.

    Raises:
        InputError: the chat form alone takes more tokens than there is room for.
    """
    from llada.chat_format import encode_prompt

    system = system if system and system.strip() else data.system_prompt
    alone = _encode_alone(tokenizer, prompt, answer, data, system)
    answer_ids = alone.input_ids[alone.prompt_length :]
    left_out, prompt_ids = len(history), alone.input_ids[: alone.prompt_length]
    lost = alone.prompt_truncated or alone.answer_truncated
    for start in range(len(history) - 1, -1, -1):
        if lost or len(history[start]["content"]) > data.max_length * CHARACTERS_PER_TOKEN:
            break
        if start and history[start]["role"] != "user":
            continue
        messages = [*_system(system), *history[start:], {"role": "user", "content": prompt}]
        ids = encode_prompt(tokenizer, messages)
        if len(ids) + len(answer_ids) > data.max_length:
            break
        left_out, prompt_ids = start, ids
    return replace(alone, input_ids=[*prompt_ids, *answer_ids], prompt_length=len(prompt_ids), turns_left_out=left_out)


def _encode_alone(
    tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str, data: DataConfig, system: str | None
) -> Example:
    """A row without the turns before it, truncated as `data.overlong` says."""
    from llada.chat_format import encode_example

    limit = data.max_length
    far = limit * CHARACTERS_PER_TOKEN
    ids, start = encode_example(tokenizer, prompt[:far], answer[:far], system=system)
    whole = len(prompt) <= far and len(answer) <= far
    if len(ids) <= limit and whole:
        return Example(ids, start)
    answer_share = limit - limit // KEPT_SHARE if data.overlong == "truncate_prompt" else limit // KEPT_SHARE
    room = limit - min(len(ids) - start, answer_share)
    prompt_truncated = start > room or len(prompt) > far
    if start > room:
        shorter = _shorten(tokenizer, prompt[:far], room, data, system)
        ids, start = encode_example(tokenizer, shorter, answer[:far], system=system)
    answer_truncated = len(ids) > limit or len(answer) > far
    if answer_truncated:
        ids = ids[: min(limit, len(ids) - 1)]  # without its end
    return Example(ids, start, prompt_truncated, answer_truncated)


def _system(system: str | None) -> list[Message]:
    return [{"role": "system", "content": system}] if system else []


def _shorten(tokenizer: PreTrainedTokenizerFast, prompt: str, room: int, data: DataConfig, system: str | None) -> str:
    """The longest beginning of the user's text with which the prompt takes `room` tokens at most (by bisection)."""
    from llada.chat_format import encode_prompt

    def tokens(characters: int) -> int:
        return len(encode_prompt(tokenizer, [*_system(system), {"role": "user", "content": prompt[:characters]}]))

    form = tokens(0)
    if form > data.max_length - data.max_length // KEPT_SHARE:
        raise InputError(
            f"data.max_length: {data.max_length}: the chat form alone takes {form} tokens; raise it, or shorten "
            "data.system_prompt (or the row's own)"
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
        "lost end",
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
