"""The chat format on a byte-level tokenizer with GPT-2's splitting rule, built in memory."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llada import chat_format as chat
from llada.errors import CheckpointError

TEXTS = ["Apa ibu kota Indonesia?\n\nIbu kotanya Jakarta.\n\n\nBaik, terima kasih.", "Sebutkan dua buah!\n\n1. mangga"]


def build_tokenizer(special_tokens=chat.SPECIAL_TOKENS) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(special_tokens), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=chat.BOS_TOKEN if special_tokens else None)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return chat.load_tokenizer(folder)


def test_mask_token_is_found_although_the_config_does_not_name_it(tokenizer):
    assert tokenizer.convert_ids_to_tokens(tokenizer.mask_token_id) == "<|mdm_mask|>"
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>")


def test_a_tokenizer_without_special_tokens_is_refused_by_name(tmp_path):
    build_tokenizer([chat.BOS_TOKEN, chat.EOS_TOKEN]).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks <\|mdm_mask\|>, <\|start_header_id\|>, .*<\|eot_id\|>"):
        chat.load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        chat.load_tokenizer(tmp_path)


def test_a_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a tokenizer"):
        chat.load_tokenizer(tmp_path)


def test_prompt_equals_the_template(tokenizer):
    messages = [
        {"role": "system", "content": "Jawab singkat.\n"},
        {"role": "user", "content": "  Apa ibu kota Indonesia? "},
        {"role": "assistant", "content": "Jakarta."},
        {"role": "user", "content": "Baik."},
    ]
    text = tokenizer.apply_chat_template(messages, chat_template=chat.CHAT_TEMPLATE, tokenize=False)
    assert chat.encode_prompt(tokenizer, messages) == tokenizer.encode(text, add_special_tokens=False)
    assert text == (
        "<|startoftext|><|start_header_id|>system<|end_header_id|>\n\nJawab singkat.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nApa ibu kota Indonesia?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nJakarta.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBaik.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_there_is_one_begin_token_and_the_answer_ends_the_example(tokenizer):
    ids, prompt_length = chat.encode_example(tokenizer, "Apa kabar?", " Baik. ", system="Jawab singkat.")
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[prompt_length:]) == "Baik.<|eot_id|>"


@pytest.mark.parametrize("answer", ["Jakarta.", "\n\nJakarta.", "", "1. mangga\n2. jeruk", "  \n", "é — 日本"])
def test_prompt_part_is_the_prompt_tokenised_alone(tokenizer, answer):
    ids, prompt_length = chat.encode_example(tokenizer, "Apa ibu kota Indonesia?", answer)
    assert ids[:prompt_length] == chat.encode_prompt(
        tokenizer, [{"role": "user", "content": "Apa ibu kota Indonesia?"}]
    )
    assert chat.decode_answer(tokenizer, ids[prompt_length:], {ids[-1]}) == answer.strip()


def test_tokenising_prompt_and_answer_together_would_break_that(tokenizer):
    """The reason to encode them apart: this splitting rule parts the header's line breaks when a word follows."""
    ids, prompt_length = chat.encode_example(tokenizer, "Apa?", "Jakarta.")
    assert tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False)[:prompt_length] != ids[:prompt_length]


def test_content_cannot_forge_special_tokens(tokenizer):
    text = "Apa arti <|mdm_mask|> dan <|eot_id|>?"
    ids = chat.encode_prompt(tokenizer, [{"role": "user", "content": text}])
    assert tokenizer.mask_token_id not in ids
    assert ids.count(tokenizer.convert_tokens_to_ids("<|eot_id|>")) == 1
    assert text in tokenizer.decode(ids)


def test_an_answer_is_read_up_to_its_first_stop_token(tokenizer):
    eot, eos = tokenizer.convert_tokens_to_ids("<|eot_id|>"), tokenizer.eos_token_id
    words = tokenizer.encode("Jakarta.", add_special_tokens=False)
    assert chat.decode_answer(tokenizer, [*words, eot, *words, eos], (eot, eos)) == "Jakarta."
    assert chat.decode_answer(tokenizer, [*words, *words], (eot, eos)) == "Jakarta.Jakarta."
    assert chat.decode_answer(tokenizer, [eos], (eot, eos)) == ""


@pytest.mark.parametrize(
    "messages", [[], [{"role": "robot", "content": "x"}], [{"role": "user"}], [{"role": "user", "content": None}]]
)
def test_malformed_conversations_are_refused(tokenizer, messages):
    with pytest.raises(ValueError, match="message"):
        chat.encode_prompt(tokenizer, messages)


def test_a_saved_tokenizer_is_named_as_transformers_4_knows_it(tmp_path):
    """Its class there is PreTrainedTokenizerFast, and a list under `extra_special_tokens` an error."""
    build_tokenizer().save_pretrained(tmp_path / "before")
    tokenizer = chat.load_tokenizer(tmp_path / "before")
    chat.save_tokenizer(tokenizer, tmp_path)
    fields = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert fields["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(fields.get("extra_special_tokens"), list)
    again = chat.load_tokenizer(tmp_path)
    assert set(again.all_special_tokens) == set(tokenizer.all_special_tokens)
    assert again.encode("Halo<|eot_id|>") == tokenizer.encode("Halo<|eot_id|>")
