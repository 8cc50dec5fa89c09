"""Sources: what is resolved, and every fault in plain words, all at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import seals
from common.errors import InputError
from data_prep.config import DataConfig
from data_prep.inputs import sources
from data_prep.inputs.finding import search
from data_prep.inputs.row_files import check_rows
from data_prep.inputs.sources import prepare_inputs, special_token_faults
from data_prep.rows.text import COLUMNS
from data_prep.select.selection import select, with_columns
from llada import LLaDAConfig
from llada.chat_format import MASK_TOKEN
from tests.support.cendol_rows import question_rows, write_encoder, write_rows
from tests.support.evaluation import write_tiny_illada
from tests.unit.llada.test_chat_format import build_tokenizer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    for part in range(2):
        write_rows(tmp_path / "rows" / f"{part}.parquet", question_rows(5, seed=part))
    return tmp_path / "rows"


def prepare(folder: Path, **changes: Any) -> dict[str, Any]:
    base, ids = changes.pop("base", "embedded"), changes.pop("token_ids", None)
    data = DataConfig(**changes)
    facts, inputs = folder / "inputs.json", folder / "inputs"
    prepare_inputs(data, base=base, base_revision=None, seed=1, folder=inputs, facts=facts, token_ids=ids)
    return json.loads(facts.read_text())


def faults_of(folder: Path, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        prepare(folder, **changes)
    assert not (folder / "inputs.json").exists()
    return caught.value.faults


def test_folders_are_recorded_with_absolute_paths_and_hashes(
    tmp_path: Path, rows: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_check_base", lambda path, token_ids: None)
    facts = prepare(tmp_path / "run", source=str(rows), encoder=str(encoder), base=str(encoder))
    assert facts["dataset"]["kind"] == facts["encoder"]["kind"] == facts["base"]["kind"] == "folder"
    assert [item["path"] for item in facts["dataset"]["files"]] == [str(rows / "0.parquet"), str(rows / "1.parquet")]
    assert facts["encoder"]["path"] == str(encoder)
    assert facts["encoder"]["sha256"] == facts["base"]["sha256"]
    (encoder / "notes.json").write_text("{}")
    changed = prepare(tmp_path / "run", source=str(rows), encoder=str(encoder), base=str(encoder))
    (encoder / "notes.json").unlink()
    assert changed["encoder"]["sha256"] != facts["encoder"]["sha256"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    faults = faults_of(
        tmp_path, source=str(tmp_path / "empty"), encoder=str(tmp_path / "none"), base=str(tmp_path / "empty")
    )
    assert [fault.split(":")[0] for fault in faults[:3]] == ["data.source", "data.encoder", "model.base"]
    assert "no .parquet or .jsonl file" in faults[0]
    assert "no such folder" in faults[1]
    assert any("config.json" in fault for fault in faults[2:])


TRANSFORMER, POOLING, DENSE, NORMALIZE = (
    {"path": place, "type": f"sentence_transformers.models.{kind}"}
    for place, kind in (
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
        ("2_Dense", "Dense"),
        ("2_Normalize", "Normalize"),
    )
)
MEAN = {"pooling_mode": "mean"}


def with_modules(folder: Path, modules: Any, pooling: Any) -> Path:
    """A BERT in sentence-transformers' layout."""
    write_encoder(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("modules", "pooling", "named", "said"),
    [
        ([TRANSFORMER, POOLING], {"pooling_mode": "max"}, "1_Pooling/config.json", "pooling by max is not"),
        ([TRANSFORMER, POOLING], {"pooling_mode": "lasttoken"}, "1_Pooling/config.json", "pooling by lasttoken is not"),
        ([TRANSFORMER, POOLING], {"pooling_mode": ["mean", "max"]}, "1_Pooling/config.json", "mean and max is not"),
        (
            [TRANSFORMER, POOLING],
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "1_Pooling/config.json",
            "pooling by cls_token and mean_tokens is not",
        ),
        ([TRANSFORMER, POOLING], {"pooling_mode_weightedmean_tokens": True}, "1_Pooling/config.json", "weightedmean"),
        ([TRANSFORMER, POOLING, DENSE], MEAN, "modules.json", "the module Dense is not supported"),
        ([TRANSFORMER, POOLING, POOLING], MEAN, "modules.json", "the module Pooling occurs twice"),
        ([TRANSFORMER], MEAN, "modules.json", "has no module Pooling"),
        ({"0": "Transformer"}, MEAN, "modules.json", "not a list of modules"),
        ([TRANSFORMER, POOLING], [], "1_Pooling/config.json", "not a JSON object"),
        ([TRANSFORMER, POOLING], {"pooling_mode": 5}, "1_Pooling/config.json", "not a name or a list of names"),
        ([TRANSFORMER, POOLING], {"pooling_mode": [[1]]}, "1_Pooling/config.json", "not a name or a list of names"),
    ],
)
def test_an_encoder_that_makes_its_vectors_in_another_way_is_refused(
    tmp_path: Path, rows: Path, modules: Any, pooling: Any, named: str, said: str
) -> None:
    encoder = with_modules(tmp_path / "encoder", modules, pooling)
    (fault,) = faults_of(tmp_path, source=str(rows), encoder=str(encoder), base="embedded")
    assert fault.startswith(f"data.encoder: {encoder / named}: ")
    assert said in fault


@pytest.mark.parametrize("name", ["config_sentence_transformers.json", "sentence_bert_config.json"])
def test_an_encoders_other_files_must_hold_objects(tmp_path: Path, rows: Path, name: str) -> None:
    encoder = with_modules(tmp_path / "encoder", [TRANSFORMER, POOLING], MEAN)
    (encoder / name).write_text("[]")
    (fault,) = faults_of(tmp_path, source=str(rows), encoder=str(encoder), base="embedded")
    assert fault == f"data.encoder: {encoder / name}: not a JSON object"


@pytest.mark.parametrize(
    "pooling",
    [MEAN, {"pooling_mode": ["mean"]}, {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, {}],
)
def test_mean_pooling_in_its_old_and_new_forms_is_taken(
    tmp_path: Path, rows: Path, encoder: Path, pooling: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_check_base", lambda path, token_ids: None)
    folder = with_modules(tmp_path / "encoder", [TRANSFORMER, POOLING, NORMALIZE], pooling)
    assert prepare(tmp_path, source=str(rows), encoder=str(folder), base=str(encoder))["encoder"]["kind"] == "folder"


def test_a_base_without_weights_and_a_tokenizer_without_special_tokens_are_named(
    tmp_path: Path, rows: Path, encoder: Path
) -> None:
    base = write_encoder(tmp_path / "base")  # a BERT: neither LLaDA's config nor its special tokens
    (base / "model.safetensors").unlink()
    faults = faults_of(tmp_path, source=str(rows), encoder=str(encoder), base=str(base))
    assert all(fault.startswith("model.base: ") for fault in faults)
    assert any("<|mdm_mask|>" in fault for fault in faults)
    (base / "config.json").write_text(json.dumps({"model_type": "llada", "d_model": 64, "n_heads": 4, "n_layers": 1}))
    assert any(
        "safetensors" in fault for fault in faults_of(tmp_path, source=str(rows), encoder=str(encoder), base=str(base))
    )


def test_a_missing_column_names_file_and_column(tmp_path: Path, rows: Path) -> None:
    path = rows / "1.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["output", "template_name"]), path)
    (fault,) = faults_of(tmp_path, source=str(rows))
    assert fault.startswith(f"{path}: missing columns template_name, output; ")


def test_corrupt_and_mistyped_files_are_all_named(tmp_path: Path, rows: Path) -> None:
    (rows / "0.parquet").write_bytes(b"PAR1 and then nothing of use")
    table = pq.read_table(rows / "1.parquet")
    pq.write_table(table.set_column(5, "input", pa.array(range(table.num_rows))), rows / "1.parquet")
    faults = faults_of(tmp_path, source=str(rows))
    assert "0.parquet: corrupt parquet file" in faults[0]
    assert "1.parquet: column input: holds int64, not text" in faults[1]


def test_extra_columns_are_told_and_left_unread(tmp_path: Path, rows: Path) -> None:
    table = pq.read_table(rows / "0.parquet")
    pq.write_table(table.append_column("score", pa.array(range(table.num_rows))), rows / "0.parquet")
    assert check_rows(search(str(rows)).files, {}, tmp_path).ignored_columns == ["score"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"input": "a"', "line 2: not valid JSON"),
        (b"\xff\xfe", "line 2: not valid JSON"),
        (b'["a"]', "line 2: holds list"),
        (b'{"input": ["a"]}', "line 2: input: holds list, not text"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(question_rows(1)[0]).encode() + b"\n" + line + b"\n")
    with pytest.raises(InputError, match=said):
        check_rows([path], {}, tmp_path / "converted")


def test_json_lines_are_converted_and_lone_surrogates_counted(tmp_path: Path) -> None:
    good, bad = question_rows(2)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(good) + "\n\n" + json.dumps({**bad, "output": "x\ud800"}) + "\n")
    rows = check_rows([path], {}, tmp_path / "converted")
    assert rows.dropped == {"lone_surrogates": 1}
    assert pq.read_table(rows.paths[0]).to_pylist() == [good]


def test_rows_that_were_rewritten_are_watched_where_they_lie(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_check_base", lambda path, token_ids: None)
    source = tmp_path / "rows" / "a.jsonl"
    source.parent.mkdir()
    source.write_text("".join(json.dumps(row) + "\n" for row in question_rows(3)))
    facts = prepare(tmp_path / "run", source=str(source.parent), encoder=str(encoder), base=str(encoder))
    assert str(source) in facts["files"]["read"]
    path = tmp_path / "run" / "inputs.json"
    seals.check(path, path, "python -m pipeline inputs")
    source.write_text(source.read_text().partition("\n")[0] + "\n")
    with pytest.raises(
        InputError, match=r"made from another .*a\.jsonl than is there now; run `python -m pipeline inp"
    ):
        seals.check(path, path, "python -m pipeline inputs")


def test_another_instruction_set_needs_its_two_columns_mapped_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "alpaca.jsonl"
    path.write_text('{"soal": "Ibu kota Jepang?", "jawab": "Tokyo"}\n{"soal": "2 + 2?", "jawab": "4"}\n')
    columns = {"input": "soal", "output": "jawab"}
    with pytest.raises(InputError, match=r"no line has .*template_name.*data.columns: \{input: THEIRS"):
        check_rows([path], {}, tmp_path / "converted")
    rows = check_rows([path], columns, tmp_path / "converted", "alpaca")
    assert rows.columns == columns | dict.fromkeys(
        ("dataset_name", "subset_name", "prompt_id", "template_name", "dataset_key"), "=alpaca"
    )
    data = with_columns(DataConfig(columns=columns, sample_fraction=1.0), rows.columns)
    assert data.subsets == ("alpaca",)
    select(data, files=rows.paths, seed=0, candidates=tmp_path / "candidates.parquet", facts=tmp_path / "select.json")
    chosen = pq.read_table(tmp_path / "candidates.parquet").to_pylist()
    assert sorted(row["output"] for row in chosen) == ["4", "Tokyo"]
    assert {row["subset_name"] for row in chosen} == {"alpaca"}


@pytest.mark.parametrize(
    ("source", "name"),
    [("rows/*.jsonl", "rows"), ("/data/own.jsonl", "own"), ("*.parquet", "rows"), ("me/set-v1.5", "set-v1.5")],
)
def test_a_foreign_set_is_named_after_its_source(source: str, name: str) -> None:
    assert sources._source_name(source) == name


def test_a_describing_column_that_only_some_files_have_is_missing_in_the_others(tmp_path: Path) -> None:
    for name, extra in (("a", {"template_name": ["t"]}), ("b", {})):
        pq.write_table(pa.table({"input": ["x"], "jawab": ["y"], **extra}), tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: missing column template_name"):
        check_rows(search(str(tmp_path)).files, {"output": "jawab"}, tmp_path / "converted")


def test_tokenizer_and_network_must_agree_on_the_special_tokens(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    mask = tokenizer.convert_tokens_to_ids(MASK_TOKEN)
    shape = {"d_model": 8, "n_heads": 2, "n_layers": 1, "mlp_hidden_size": 16, "max_sequence_length": 32}
    rows = len(tokenizer)
    for vocabulary, claimed, said in ((rows, mask, None), (rows, mask - 1, "mask_token_id"), (mask, 0, "embeddings")):
        ids = {"mask_token_id": claimed, "eos_token_id": 0, "pad_token_id": 0}
        config = LLaDAConfig(**shape, vocab_size=vocabulary, embedding_size=vocabulary, **ids)
        faults = special_token_faults(tmp_path, tokenizer, config)
        assert [said in fault for fault in faults] == ([] if said is None else [True])


def test_an_illada_is_taken_once_its_mask_token_is_known(tmp_path: Path, rows: Path, encoder: Path) -> None:
    base = write_tiny_illada(tmp_path / "base")
    given = {"source": str(rows), "encoder": str(encoder), "base": str(base)}
    [fault] = faults_of(tmp_path / "run", **given)
    assert fault.startswith(f"model.base: {base}: mask_token_id: not in config.json")
    assert "set model.mask_token_id" in fault
    assert len(fault.replace(str(base), "FOLDER")) <= 300
    [fault] = faults_of(tmp_path / "run", **given, token_ids={"mask_token_id": 200})
    assert re.search(r"mask_token_id: 200 \(.+\) is an ordinary word of the tokenizer; set", fault)
    assert prepare(tmp_path / "run", **given, token_ids={"mask_token_id": 5})["base"]["kind"] == "folder"


def test_globs_and_single_files_are_sources(rows: Path) -> None:
    assert search(str(rows / "*.parquet")).files == [rows / "0.parquet", rows / "1.parquet"]
    assert search(str(rows / "0.parquet")).files == [rows / "0.parquet"]
    with pytest.raises(InputError, match="no such folder"):
        search(str(rows / "nowhere"))


def test_an_unknown_mapped_column_is_refused(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.columns: question: not a column of ours"):
        check_rows(search(str(rows)).files, {"question": "input"}, tmp_path)
    assert set(COLUMNS) >= {"input", "output"}
