"""The tokens of a rainbow: those that no text has, and that end an answer wherever they appear."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer

from adapters import load_adapter
from adapters.lineage import read_run
from adapters.update import add_adapter
from common.errors import InputError
from common.files import read_json, write_json
from data_prep.bundled.models.base import SHIPPED
from eval.measure.generation import stop_tokens
from llada import SamplerConfig
from llada.chat_format import decode_answer, load_tokenizer
from llada.network.tail_tokens import unused_tokens
from llada.network.token_ids import end_token_ids
from llada.sampling.sequences import Vocabulary
from release.merge import copy_companions
from tests.support.small_world import small_model, small_plan
from training.run.start import tail_tokens
from training.trainer import train


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED)


def test_no_text_has_them(tokenizer):
    found = unused_tokens(Tokenizer.from_file(str(SHIPPED / "tokenizer.json")))
    assert found == unused_tokens(tokenizer)
    assert len(found) == 13
    text = "".join(chr(point) for point in (*range(1, 0xD800, 7), *range(0xE000, 0x110000, 97), *range(0x20, 0x250)))
    assert not set(tokenizer(text, add_special_tokens=False)["input_ids"]) & set(found.values())
    assert set(tokenizer("õÿÀ", add_special_tokens=False)["input_ids"]).isdisjoint(found.values())


def test_a_vocabulary_of_characters_has_none():
    letters = SimpleNamespace(get_vocab=lambda: {"õ": 3, "ÿ": 4}, decode=lambda ids: {3: "õ", 4: "ÿ"}[ids[0]])
    assert unused_tokens(letters) == {}


def test_an_answer_ends_at_one(tokenizer):
    colours = list(unused_tokens(tokenizer).values())[:7]
    config = SimpleNamespace(
        eos_token_id=1, eot_token_id=5, pad_token_id=1, mask_token_id=2, vocab_size=1536, embedding_size=1536,
        tail_token_ids=colours,
    )  # fmt: skip
    assert end_token_ids(config) == (1, 5, *colours)
    assert Vocabulary.of(config, SamplerConfig()).stops == (1, 5, *colours)
    stops = stop_tokens(SimpleNamespace(config=config), SamplerConfig())
    ids = tokenizer("Ibu kota", add_special_tokens=False)["input_ids"]
    assert decode_answer(tokenizer, [*ids, colours[3], *ids], stops) == "Ibu kota"


@pytest.fixture(scope="module")
def rainbow(tmp_path_factory):
    """A trained adapter whose base has a vocabulary of bytes."""
    folder = tmp_path_factory.mktemp("rainbow")
    plan = small_plan(folder, train={"eos_tail": "rainbow:3", "max_steps": 2})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.trainer.tail_tokens", lambda _: {"a": 50, "b": 51, "c": 52})  # of a vocabulary of 64
        train(plan)
    return plan


def test_the_adapter_names_them_and_whoever_loads_it_knows(rainbow):
    assert read_run(rainbow.output).tail_tokens == {"a": 50, "b": 51, "c": 52}
    card = (rainbow.output / "README.md").read_text()
    assert "`a` (50), `b` (51), `c` (52) in turn: these tokens end one too." in card

    network = small_model()
    load_adapter(network, rainbow.output)
    assert network.config.tail_token_ids == [50, 51, 52]
    added = small_model()
    add_adapter(added, rainbow.output)
    assert end_token_ids(added.config)[-3:] == (50, 51, 52)


def test_a_merged_folder_names_them(rainbow, tmp_path):
    from llada import LLaDAModelLM

    copy_companions(rainbow.base, tmp_path, {}, (50, 51, 52))
    assert read_json(tmp_path / "config.json")["tail_token_ids"] == [50, 51, 52]
    (tmp_path / "model.safetensors").symlink_to(rainbow.base / "model.safetensors")
    config = LLaDAModelLM.from_pretrained(tmp_path, dtype=torch.float32).config
    assert end_token_ids(config)[-3:] == (50, 51, 52)


def test_a_token_outside_the_base_is_refused(rainbow, tmp_path):
    write_json(tmp_path / "run.json", {"tail_tokens": {"a": 64}})
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((rainbow.output / name).read_bytes())
    with pytest.raises(InputError, match="tail_tokens: 64 is no token of this base"):
        load_adapter(small_model(), tmp_path)


def test_as_many_as_asked_for_are_taken_and_too_few_are_refused(tmp_path):
    plan = replace(small_plan(tmp_path, train={"eos_tail": "rainbow:7"}), base=SHIPPED)
    assert list(tail_tokens(plan)) == [chr(byte) for byte in range(0xF5, 0xFC)]
    assert tail_tokens(small_plan(tmp_path)) == {}
    with pytest.raises(InputError, match=r"has 0 tokens that no text contains .*take random:K"):
        train(small_plan(tmp_path, train={"eos_tail": "rainbow:3"}))
