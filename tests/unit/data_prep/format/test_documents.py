"""Raw text as rows: nothing of it is lost, nothing is added but its two ends, and all of it may be masked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.config import DataConfig
from data_prep.embed.embedding import texts_to_embed
from data_prep.format.documents import continuation, pieces
from data_prep.format.formatting import format_splits
from llada.chat_format import MASK_TOKEN, load_tokenizer
from tests.support.evaluation import write_tiny_base
from training.batching import read_rows
from training.global_batch import GlobalBatch, step_noise

TEXTS = (
    "Hujan turun di Bogor.",
    "  Kabut — tebal.\n\n\tJalan basah " * 40,
    "日本" * 300,
    "tanpaspasi" * 400,
    f"Teks {MASK_TOKEN} dan <|eot_id|> biasa. " * 9,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("documents") / "base")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return load_tokenizer(base)


@pytest.mark.parametrize("limit", [16, 64, 4096])
@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_of_a_document_are_its_text_between_its_ends(tokenizer: Any, text: str, limit: int) -> None:
    made = pieces(tokenizer, text, limit)
    ids = [token for piece in made for token in piece.input_ids]
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[1:-1]) == text
    assert not {*ids[1:-1]} & {*tokenizer.all_special_ids}
    lengths = [len(piece.input_ids) for piece in made]
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert len(made) == -(-len(ids) // limit)
    assert [piece.prompt_length for piece in made] == [1] + [0] * (len(made) - 1)
    assert [piece.answer_truncated for piece in made] == [True] * (len(made) - 1) + [False]


@pytest.mark.parametrize("limit", [16, 64, 4096])
@pytest.mark.parametrize("text", TEXTS)
def test_a_document_of_the_test_is_its_first_half_and_what_follows(tokenizer: Any, text: str, limit: int) -> None:
    example, prompt, answer = continuation(tokenizer, text, limit)
    ids, start = example.input_ids, example.prompt_length
    assert len(ids) <= limit
    assert text.startswith(prompt + answer)
    assert (prompt + answer == text) or example.answer_truncated
    assert tokenizer.decode(ids[1:start]) == prompt
    assert answer.startswith(tokenizer.decode(ids[start:], skip_special_tokens=True).rstrip("\ufffd"))
    assert (ids[-1] == tokenizer.eos_token_id) != example.answer_truncated
    assert start > 1
    assert abs(len(prompt) - len(answer)) <= max(map(len, (prompt + answer).split(" "))) + 1


def write_splits(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    common = {"subset_name": "s", "template_name": "t", "cluster": 0}
    table = pa.Table.from_pylist([common | {"id": str(number)} | row for number, row in enumerate(rows)])
    for name in ("train", "validation", "test"):
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def test_documents_are_trained_on_whole_and_a_cut_one_is_not_followed_by_ends(tmp_path: Path, base: Path) -> None:
    rows = [
        {"input": "", "output": TEXTS[1], "form": "text"},
        {"input": "Apa itu teh?", "output": "Minuman.", "form": None},
    ]
    formatted = tmp_path / "formatted"
    format_splits(
        DataConfig(max_length=64, overlong="drop"),
        splits=write_splits(tmp_path / "splits", rows), tokenizer=base, formatted=formatted,
        facts=tmp_path / "format.json",
    )  # fmt: skip
    table = pq.read_table(formatted / "train.parquet").to_pylist()
    assert len({row["id"] for row in table}) == len(table) > 3
    assert [row["ended"] for row in table] == [False] * (len(table) - 2) + [True, True]
    assert pq.read_table(formatted / "test.parquet").num_rows == 2
    read = read_rows(formatted / "train.parquet")
    config = SimpleNamespace(max_sequence_length=256, eos_token_id=0, mask_token_id=1, pad_token_id=0)
    indices = list(range(len(read)))

    batch = GlobalBatch(read, np.array(indices), step_noise(0, 0, len(indices), False), "first:5", config)
    padded = batch.micro_batch(np.array(indices)).rows
    for place, row in enumerate(table):
        tail = 5 if row["ended"] else 0
        assert int(padded.maskable[place].sum()) == len(row["input_ids"]) - row["prompt_length"] + tail


def test_a_document_is_embedded_by_its_text() -> None:
    table = pa.table({"input": ["", "Apa?"], "output": ["Hujan.", "Teh."], "form": ["text", None]})
    assert texts_to_embed(table, "input") == ["Hujan.", "Apa?"]
    assert texts_to_embed(table, "output") == ["Hujan.", "Teh."]
    assert texts_to_embed(table, "both") == ["Hujan.", "Apa?\nTeh."]
