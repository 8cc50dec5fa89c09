"""YAML is taken as a profile needs it; what is dangerous or surprising in it is refused in one short sentence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from common.errors import LONGEST, InputError
from common.yaml_text import LARGEST_BYTES, parse_yaml, read_yaml

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new}\n  <<: [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed: 7", {"seed": 7}), ("1.5", 1.5), ("-1.0e-3", -0.001), ("yes", True), ("null", None), ("", None),
        ("[1, a, 2.0]", [1, "a", 2.0]), ("1_000", 1000), ("2e-4", "2e-4"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        # what YAML 1.1 would make something else of
        ("010", "010"), ("0x10", "0x10"), ("22:22", "22:22"), ("1:30.5", "1:30.5"), ("2020-01-01", "2020-01-01"),
        ("2020-13-45", "2020-13-45"),
    ],
)  # fmt: skip
def test_scalars_are_what_they_look_like(text: str, value: Any) -> None:
    assert parse_yaml(text, "--set") == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested more than 20 deep"), ("- " * 3_000, "nested more than 20 deep"),
        ("9" * 5_000, "a number of 5000 digits"), ("!!int abc", "tags are not taken"), ("! a", "tags are not taken"),
        ("!!python/object/apply:os.getcwd []", "tags are not taken"), ("a: 1\nb: 2\na: 3", "the key a occurs twice"),
        ("&a [*a]", "an anchor that holds itself"), (BOMB, "aliases unfolded"), (MERGE_BOMB, "aliases unfolded"),
        ('"\\ud800"', "control character"), ('"a\\0b"', "control character"), ("? [a]\n: b", "a key that is no text"),
        ("a: [unclosed", "line 1"), ("---\na\n---\nb", "another document"), ("<<: 1", "expected a mapping"),
        ("*x", "undefined alias"), ("a" * (LARGEST_BYTES + 1), "longer than"),
        ("[" + "a," * 100_000 + "]", "10000 values"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_said_in_one_short_line(text: str, words: str) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match=words) as caught:
        parse_yaml(text, "--set seed")
    assert time.monotonic() - begin < 10
    [fault] = caught.value.faults
    assert fault.startswith("--set seed: ")
    assert len(fault) <= LONGEST
    assert fault.isprintable()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("kota: Jogjakarta é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml: not valid YAML: not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(InputError, match="a folder stands where a file should be"):
        read_yaml(tmp_path)
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfseed: 1")
    assert read_yaml(tmp_path / "bom.yaml") == {"seed": 1}
