"""The file of keys: what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from eval.measure.answer_keys import keys_of, read_answer_keys
from eval.metrics.accuracy import AnswerKey
from tests.support.report import items

LINE = {"input": "Apa ibu kota Jepang?", "kind": "capital", "required": ["Tokyo"], "forbidden": ["Kyoto"]}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def test_a_key_is_found_by_its_prompt_whatever_its_spaces_and_composition(tmp_path: Path) -> None:
    [first, second, *_] = items(2)
    spaced = "  " + first.prompt.replace(" ", "\u00a0 \n") + " "
    path = write(tmp_path / "keys.jsonl", LINE, LINE, LINE | {"input": spaced, "required": ["a"]})
    keys = read_answer_keys(path)
    assert len(keys) == 2, "a repeated line is no second key"
    assert keys_of([first, second], keys) == [AnswerKey("capital", ("a",), ("Kyoto",)), None]


def test_forbidden_may_be_left_out_and_required_may_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.jsonl", {"input": "Buatlah pantun.", "kind": "pantun", "required": []})
    assert read_answer_keys(path) == {"Buatlah pantun.": AnswerKey("pantun", (), ())}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"required": ["?!"]}, "key 2: .*no letter or digit"),
        ({"required": ["tidak Kyoto"]}, "forbidden and a part of"),
        ({"required": "Tokyo"}, "key 2.required: .*list"),
        ({"required": [3]}, "key 2.required.0: .*string"),
        ({"kind": ""}, "key 2.kind"),
        ({"answer": "Tokyo"}, "key 2.answer: extra"),
        ({"required": ["Nara"]}, "key 2: a line before has another key for the prompt"),
    ],
)
def test_a_key_that_tells_nothing_is_refused_by_its_line(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = write(tmp_path / "keys.jsonl", LINE, LINE | change)
    with pytest.raises(InputError, match=words) as caught:
        read_answer_keys(path)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["{", "[1]\n", "null\n", '{"input": "a"}\n', "\x00"])
def test_a_file_of_another_shape_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_answer_keys(tmp_path / "keys.jsonl")
    assert len(caught.value.faults) == 1
