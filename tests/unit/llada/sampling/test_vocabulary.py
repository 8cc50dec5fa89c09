"""Which ids the sampler stops at, pads with and never chooses."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from llada import SamplerConfig
from llada.sampling.sequences import Vocabulary

LLADA_8B = SimpleNamespace(
    vocab_size=126464, embedding_size=126464, mask_token_id=126336, eos_token_id=126081, pad_token_id=126081
)
CONFIG = SamplerConfig()


def with_ids(**ids) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(LLADA_8B), **ids})


def test_llada_8b_never_chooses_its_unused_rows_or_the_mask():
    forbidden = Vocabulary.of(LLADA_8B, CONFIG).forbidden()
    assert forbidden == [126336, *range(126349, 126464)]


def test_known_tokens_and_the_configs_own_sizes_decide_elsewhere():
    assert Vocabulary.of(LLADA_8B, replace(CONFIG, known_tokens=126464)).forbidden() == [126336]
    small = with_ids(vocab_size=40, embedding_size=48, mask_token_id=3, eos_token_id=4)
    assert Vocabulary.of(small, CONFIG).forbidden() == [3, *range(40, 48)]


def test_stop_tokens_come_from_the_settings_or_the_config():
    assert Vocabulary.of(LLADA_8B, CONFIG).stops == (126081,)
    assert Vocabulary.of(with_ids(eot_token_id=126348), CONFIG).stops == (126081, 126348)
    assert Vocabulary.of(with_ids(eot_token_id=126348), replace(CONFIG, stop_token_ids=(7,))).stops == (7,)


def test_rows_are_filled_with_the_pad_token_and_never_with_the_mask():
    assert Vocabulary.of(with_ids(pad_token_id=5), CONFIG).pad == 5
    assert Vocabulary.of(with_ids(pad_token_id=None), CONFIG).pad == 126081
    assert Vocabulary.of(with_ids(pad_token_id=126336), CONFIG).pad == 126081


@pytest.mark.parametrize(
    ("ids", "values", "words"),
    [
        ({"mask_token_id": None}, {}, "mask_token_id is None"),
        ({"mask_token_id": 126464}, {}, "mask_token_id is 126464"),
        ({}, {"stop_token_ids": (126464,)}, r"stop_token_ids holds \[126464\]"),
        ({}, {"stop_token_ids": (126336,)}, r"stop_token_ids holds \[126336\]"),
        ({"eos_token_id": None}, {"stop_at_eos": True}, "names no eos_token_id"),
    ],
)
def test_ids_that_cannot_be_are_refused(ids, values, words):
    with pytest.raises(ValueError, match=words):
        Vocabulary.of(with_ids(**ids), replace(CONFIG, **values))
