"""Which token is the mask: read, never guessed; refused where it cannot be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from adapters.config import ModelConfig
from llada import LLaDAModelLM
from llada.errors import CheckpointError
from llada.network.configuration import ILLaDAConfig, LLaDAConfig
from llada.network.published import TOKEN_ID_KEYS
from llada.network.token_ids import StoredTokenizer, _faults, settle_token_ids, settled_config
from tests.support.llama_twin import tiny_model

ADDED = {"<s>": 0, "<pad>": 1, "</s>": 2, "<m>": 5}
WORDS = {"rumah": 3, "pergi": 4, "<unused>": 6, "[MASK]": 7, **{f"kata{number}": number for number in range(8, 96)}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An iLLaDA of 96 words whose files name no mask token."""
    tiny_model(kind="illada").save_pretrained(tmp_path)
    change(tmp_path / "config.json", mask_token_id=None)
    return tmp_path


def change(path: Path, **fields: Any) -> None:
    """Set fields of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | fields if path.exists() else fields
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def write_tokenizer(folder: Path, **fields: Any) -> None:
    tokenizer = Tokenizer(models.WordLevel(ADDED | WORDS, unk_token="rumah"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(ADDED))
    tokenizer.save(str(folder / "tokenizer.json"))
    change(folder / "tokenizer_config.json", **fields)


def mask_of(folder: Path, **overrides: Any) -> int:
    return LLaDAModelLM.from_pretrained(folder, **overrides).config.mask_token_id


def fault_of(folder: Path, **overrides: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        LLaDAModelLM.from_pretrained(folder, **overrides)
    [line] = str(caught.value).splitlines()
    assert len(line.replace(str(folder), "FOLDER")) <= 300
    return line


def test_no_mask_token_anywhere_is_refused(folder):
    assert "mask_token_id: not in config.json" in (fault := fault_of(folder))
    assert "set model.mask_token_id" in fault


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("config.json", {"mask_token_id": 5}),
        ("generation_config.json", {"mask_token_id": 5, "eos_token_id": [2, 3]}),
        ("tokenizer_config.json", {"mask_token": "<m>"}),
        ("tokenizer_config.json", {"mask_token": {"content": "<m>", "special": True}}),
        ("special_tokens_map.json", {"mask_token": {"content": "<m>"}}),
    ],
)
def test_the_mask_token_is_read_from_the_files(folder, file, fields):
    write_tokenizer(folder)
    change(folder / file, **fields)
    assert mask_of(folder) == 5


def test_a_mask_token_given_by_hand_overrides_the_files(folder):
    write_tokenizer(folder, mask_token="<m>")
    assert mask_of(folder, mask_token_id=7) == 7  # spelt as a reserved token
    change(folder / "config.json", mask_token_id=5)
    assert mask_of(folder, mask_token_id=6) == 6


def test_other_ids_are_completed_too(folder):
    write_tokenizer(folder, mask_token="<m>", pad_token="<pad>", bos_token="<s>")
    change(folder / "config.json", pad_token_id=None, eos_token_id=None)
    change(folder / "generation_config.json", eos_token_id=[2])
    config = LLaDAModelLM.from_pretrained(folder).config
    assert (config.eos_token_id, config.pad_token_id, config.bos_token_id) == (2, 1, 0)


def test_the_table_stands_in_for_a_published_vocabulary_alone():
    for config, ids in ((ILLaDAConfig(), (5, 2, 1, 0)), (LLaDAConfig(), (126336, 126081, 126081, 126080))):
        assert (config.mask_token_id, config.eos_token_id, config.pad_token_id, config.bos_token_id) == ids
    assert ILLaDAConfig(vocab_size=126464).mask_token_id is None
    assert LLaDAConfig(vocab_size=155136).mask_token_id is None


@pytest.mark.parametrize(
    ("config", "owner"),
    [
        (ILLaDAConfig(mask_token_id=126336), "126336 is an id of LLaDA, in this base (illada) 5"),
        (LLaDAConfig(mask_token_id=5), "5 is an id of iLLaDA, in this base (llada) 126336"),
        (ILLaDAConfig(vocab_size=200_000, mask_token_id=126336), "126336 is an id of LLaDA, this is illada"),
    ],
)
def test_another_published_bases_mask_token_is_refused(config, owner):
    with pytest.raises(CheckpointError) as caught:
        settle_token_ids(config, None)
    [line] = str(caught.value).splitlines()
    assert f"mask_token_id: {owner}; set model.mask_token_id" in line


def test_another_published_bases_end_token_is_refused_by_its_key():
    with pytest.raises(CheckpointError, match=r"eos_token_id: 126081 is an id of LLaDA.*set model\.eos_token_id$"):
        settle_token_ids(ILLaDAConfig(eos_token_id=126081), None)


LLADAS = {"mask_token_id": 126336, "eos_token_id": 126081, "pad_token_id": 126081, "bos_token_id": 126080}


@pytest.mark.parametrize(
    ("size", "why"), [(96, "are no tokens of this base"), (155136, "are ids of LLaDA, in this base (illada)")]
)
def test_all_of_lladas_ids_in_an_illada_config_are_refused_in_one_line(folder, size, why):
    change(folder / "config.json", **LLADAS)
    if size == 96:
        fault = fault_of(folder)
    else:
        with pytest.raises(CheckpointError) as caught:
            settle_token_ids(ILLaDAConfig(vocab_size=size, **LLADAS), None)
        [fault] = str(caught.value).splitlines()
    assert why in fault
    assert "mask_token_id: 126336, eos_token_id: 126081" in fault
    assert fault.endswith("set model.mask_token_id, model.eos_token_id, model.pad_token_id, model.bos_token_id")


def test_an_id_that_is_also_another_bases_is_taken_where_the_tokenizer_speaks_for_it():
    """A vocabulary of its own may well have its mask token at iLLaDA's 5, or by its tokenizer at LLaDA's number."""
    settle_token_ids(LLaDAConfig(vocab_size=96, mask_token_id=5, eos_token_id=2, pad_token_id=1), None)
    with_tokenizer = StoredTokenizer({"mask_token_id": 126336}, {126336: "<m>"}, {})
    config = ILLaDAConfig(vocab_size=200_000, mask_token_id=126336)
    assert list(_faults(config, {}, {}, with_tokenizer)) == []


def test_a_pipelines_base_without_an_end_token_is_refused(folder):
    change(folder / "config.json", eos_token_id=None, mask_token_id=5)
    with pytest.raises(CheckpointError, match=r"eos_token_id: not in config.json.*; set model\.eos_token_id$"):
        settled_config(folder, {})
    assert settled_config(folder, {"eos_token_id": 2}).eos_token_id == 2


@pytest.mark.parametrize("given", ["in the config", "by hand"])
def test_a_mask_token_that_is_an_ordinary_word_is_refused(folder, given):
    write_tokenizer(folder)
    overrides = {"mask_token_id": 4} if given == "by hand" else {}
    if not overrides:
        change(folder / "config.json", mask_token_id=4)
    fault = fault_of(folder, **overrides)
    assert "mask_token_id: 4 ('pergi') is an ordinary word of the tokenizer; set model.mask_token_id" in fault


def test_a_tokenizer_of_another_base_is_one_line(folder):
    """Its words stand where the config has mask and end; that it names another mask token as well says no more."""
    write_tokenizer(folder, mask_token="<m>")
    change(folder / "config.json", mask_token_id=4, eos_token_id=3)
    assert "mask_token_id: 4 ('pergi'), eos_token_id: 3 ('rumah') are ordinary words of the tokenizer" in fault_of(
        folder
    )


@pytest.mark.parametrize("token", [126336, 96, -1, True, "<m>"])
def test_a_mask_token_outside_the_vocabulary_is_refused(folder, token):
    change(folder / "config.json", mask_token_id=token)
    assert f"mask_token_id: {token!r} is no token of this base, which has 96" in fault_of(folder)


def test_sources_that_disagree_are_refused(folder):
    write_tokenizer(folder, mask_token="<m>")
    change(folder / "config.json", mask_token_id=6)
    assert "mask_token_id: 6 in config.json, 5 in the tokenizer; set model.mask_token_id" in fault_of(folder)


def test_a_mask_token_that_also_ends_texts_is_refused(folder):
    assert "mask_token_id: 2 ends, begins or pads texts too" in fault_of(folder, mask_token_id=2)


@pytest.mark.parametrize("file", ["tokenizer.json", "generation_config.json"])
def test_a_damaged_file_is_named(folder, file):
    (folder / file).write_text("{")
    assert f"{file}: not valid JSON" in fault_of(folder, mask_token_id=5)


@pytest.mark.parametrize(
    "content",
    [{"added_tokens": [{"id": "x"}]}, {"model": {"vocab": {"a": None}}}, {"model": {"vocab": [[]]}}, {"model": [1]}],
)
def test_a_tokenizer_file_that_holds_something_else_is_named(folder, content):
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "tokenizer.json: not a tokenizer" in fault_of(folder, mask_token_id=5)


def test_the_profile_can_set_every_id_that_a_refusal_names():
    ids = dict.fromkeys(TOKEN_ID_KEYS, 7)
    assert ModelConfig(**ids).token_ids == ids
    assert ModelConfig().token_ids == {}
