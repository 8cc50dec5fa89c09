"""Formatting: the chat form, the policies for long rows, and their counts."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.config import DataConfig
from data_prep.format.formatting import SCHEMA, encode, format_splits
from llada.chat_format import CHAT_TEMPLATE, EOT_TOKEN, SPECIAL_TOKENS, encode_example, encode_prompt, load_tokenizer
from tests.support.cendol_rows import sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer without merges: one token per byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: number for number, character in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    path = tmp_path_factory.mktemp("tokenizer")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return load_tokenizer(folder)


def end(tokenizer: Any) -> int:
    return tokenizer.convert_tokens_to_ids(EOT_TOKEN)


def write_splits(folder: Path, rows: list[tuple[str, str]]) -> Path:
    names = ("id", "subset_name", "template_name", "cluster", "input", "output")
    table = [
        dict(zip(names, (f"{number}", "dolly", "t", number % 3, *row), strict=True)) for number, row in enumerate(rows)
    ]
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{split}.parquet")
    return folder


def run(path: Path, tokenizer: Path, rows: list[tuple[str, str]], **changes: Any) -> tuple[dict[str, list[Any]], Any]:
    splits = write_splits(path / "splits", rows)
    facts = path / "format.json"
    format_splits(DataConfig(**changes), splits=splits, tokenizer=tokenizer, formatted=path / "formatted", facts=facts)
    tables = {name: pq.read_table(path / "formatted" / f"{name}.parquet") for name in ("train", "validation", "test")}
    assert all(table.schema.equals(SCHEMA) for table in tables.values())
    return {name: table.to_pylist() for name, table in tables.items()}, json.loads(facts.read_text())


ROWS = [("Siapa kamu?", "Saya Cendol."), ("Apa itu teh?", "x" * 300), ("y" * 300, "Ya."), ("y" * 300, "x" * 300)]


def test_rows_are_prompt_then_answer_then_end_of_turn(tmp_path: Path, folder: Path, tokenizer: Any) -> None:
    tables, facts = run(tmp_path, folder, ROWS[:1])
    (item,) = tables["train"]
    expected, start = encode_example(tokenizer, *ROWS[0])
    assert item["input_ids"] == expected
    assert item["prompt_length"] == start
    assert item["input_ids"][:start] == encode_prompt(tokenizer, [{"role": "user", "content": ROWS[0][0]}])
    assert item["input_ids"].count(tokenizer.bos_token_id) == 1
    assert item["input_ids"][-1] == end(tokenizer)
    assert (item["prompt"], item["answer"], item["truncated"]) == (*ROWS[0], False)
    assert facts["splits"]["train"]["tokens"]["max"] == len(expected)


def test_a_truncated_answer_keeps_the_prompt_and_loses_its_end(tmp_path: Path, folder: Path, tokenizer: Any) -> None:
    tables, facts = run(tmp_path, folder, ROWS, max_length=200)
    whole, long_answer, long_prompt, both = tables["train"]
    assert [item["truncated"] for item in tables["train"]] == [False, True, True, True]
    assert len(long_answer["input_ids"]) == len(both["input_ids"]) == 200
    assert end(tokenizer) not in long_answer["input_ids"][long_answer["prompt_length"] :]
    assert long_prompt["input_ids"][-1] == whole["input_ids"][-1] == end(tokenizer)
    assert both["prompt_length"] == 150  # the answer keeps a quarter
    counts = facts["splits"]["train"]
    assert (counts["over_length"], counts["prompt_truncated"], counts["answer_truncated"]) == (3, 2, 2)
    assert counts["lost_eot"] == 2
    assert counts["dropped"] == 0


def test_a_truncated_prompt_leaves_the_answer_whole_where_it_can(tmp_path: Path, folder: Path, tokenizer: Any) -> None:
    tables, facts = run(tmp_path, folder, ROWS, max_length=200, overlong="truncate_prompt")
    long_prompt, both = tables["train"][2:]
    start = long_prompt["prompt_length"]
    assert len(long_prompt["input_ids"]) == 200
    assert tokenizer.decode(long_prompt["input_ids"][start:-1]) == "Ya."
    assert both["prompt_length"] == 50  # the prompt keeps a quarter
    assert facts["splits"]["train"]["lost_eot"] == 2


def test_a_truncated_prompt_still_ends_with_the_assistants_header(tokenizer: Any) -> None:
    example = encode(tokenizer, "y" * 300, "Ya.", DataConfig(max_length=128))
    header = encode_prompt(tokenizer, [{"role": "user", "content": ""}])[-12:]
    assert example.input_ids[: example.prompt_length][-12:] == header


def test_dropped_rows_are_counted_and_test_rows_stay(tmp_path: Path, folder: Path) -> None:
    tables, facts = run(tmp_path, folder, ROWS, max_length=200, overlong="drop")
    assert [len(tables[name]) for name in ("train", "validation", "test")] == [1, 1, 4]
    assert facts["splits"]["train"]["dropped"] == 3
    assert facts["splits"]["test"]["dropped"] == 0


@pytest.mark.parametrize("overlong", ["truncate_answer", "truncate_prompt"])
def test_no_row_is_longer_than_the_limit_and_every_prompt_is_whole_or_marked(tokenizer: Any, overlong: Any) -> None:
    rng = random.Random(0)
    for limit in (64, 100, 257):
        data = DataConfig(max_length=limit, overlong=overlong)
        for _ in range(40):
            prompt, answer = sentence(rng, rng.randint(1, 60)), sentence(rng, rng.randint(1, 60))
            example = encode(tokenizer, prompt, answer, data)
            assert 0 < example.prompt_length < len(example.input_ids) <= limit
            assert (example.input_ids[-1] == end(tokenizer)) != example.answer_truncated
            if not example.prompt_truncated:
                assert example.prompt_length == len(encode_prompt(tokenizer, [{"role": "user", "content": prompt}]))


def test_a_megabyte_in_one_cell_is_truncated(tokenizer: Any) -> None:
    example = encode(tokenizer, "apa " * 300_000, "itu " * 300_000, DataConfig(max_length=128))
    assert len(example.input_ids) == 128
    assert example.prompt_truncated
    assert example.answer_truncated


def test_the_system_prompt_comes_first_and_too_small_a_limit_is_an_error(tokenizer: Any) -> None:
    data = DataConfig(max_length=128, system_prompt="Jawab singkat.")
    example = encode(tokenizer, "Apa?", "Itu.", data)
    messages = [{"role": "system", "content": "Jawab singkat."}, {"role": "user", "content": "Apa?"}]
    assert example.input_ids[: example.prompt_length] == encode_prompt(tokenizer, messages)
    with pytest.raises(InputError, match=r"data\.max_length: 16: the chat form alone takes"):
        encode(tokenizer, "Apa?", "Itu.", DataConfig(max_length=16))


def test_a_folder_without_the_special_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.base"):
        run(tmp_path, tmp_path, ROWS)


TURNS = [
    {"role": "user", "content": "a" * 40},
    {"role": "assistant", "content": "b" * 40},
    {"role": "user", "content": "c" * 40},
    {"role": "assistant", "content": "d" * 40},
]


@pytest.mark.parametrize(("limit", "left_out"), [(512, 0), (220, 2), (100, 4)])
def test_the_oldest_turns_go_whole_where_a_conversation_does_not_fit(tokenizer: Any, limit: int, left_out: int) -> None:
    example = encode(tokenizer, "Lalu?", "Itu.", DataConfig(max_length=limit), TURNS, "Singkat.")
    kept = [{"role": "system", "content": "Singkat."}, *TURNS[left_out:], {"role": "user", "content": "Lalu?"}]
    assert example.turns_left_out == left_out
    assert example.input_ids[: example.prompt_length] == encode_prompt(tokenizer, kept)
    assert tokenizer.decode(example.input_ids[example.prompt_length : -1]) == "Itu."
    assert not example.answer_truncated


def test_the_turns_and_the_rows_own_system_prompt_stand_in_the_formatted_row(
    tmp_path: Path, folder: Path, tokenizer: Any
) -> None:
    splits = write_splits(tmp_path / "splits", [("Lalu?", "Itu."), ("Apa?", "Ini.")])
    for path in splits.glob("*.parquet"):
        table = pq.read_table(path).append_column("system", pa.array(["Singkat.", None]))
        pq.write_table(table.append_column("history", pa.array([json.dumps(TURNS[:2]), None])), path)
    facts = tmp_path / "format.json"
    data = DataConfig(system_prompt="Umum.")
    format_splits(data, splits=splits, tokenizer=folder, formatted=tmp_path / "formatted", facts=facts)
    turn, plain = pq.read_table(tmp_path / "formatted" / "train.parquet").to_pylist()
    assert turn["prompt"] == "\n\n".join(["a" * 40, "b" * 40, "Lalu?"])
    for item, system, before, asked in ((turn, "Singkat.", TURNS[:2], "Lalu?"), (plain, "Umum.", [], "Apa?")):
        messages = [{"role": "system", "content": system}, *before, {"role": "user", "content": asked}]
        assert item["input_ids"][: item["prompt_length"]] == encode_prompt(tokenizer, messages)
    assert json.loads(facts.read_text())["splits"]["train"]["turns_left_out"] == 0


def test_splits_that_are_not_what_the_stage_split_recorded_are_refused(tmp_path: Path, folder: Path) -> None:
    splits = write_splits(tmp_path / "splits", ROWS[:1])
    recorded = tmp_path / "leakage.json"
    recorded.write_text(json.dumps({"rows": {"train": 1, "validation": 2, "test": 1}}))
    places = {"formatted": tmp_path / "formatted", "facts": tmp_path / "format.json", "split_facts": recorded}
    with pytest.raises(InputError, match=r"validation\.parquet: 1 rows, but the stage split recorded 2"):
        format_splits(DataConfig(), splits=splits, tokenizer=folder, **places)
