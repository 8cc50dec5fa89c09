"""Which files of a dataset are fetched, asked of a hub on the loopback by huggingface_hub itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import InputError
from data_prep.inputs.hub import Snapshot, fetch_dataset
from tests.support.hub.server import Hub, Repository, client_of, running_hub

NAME = "me/set"
CARD = b"""---
configs:
- config_name: id
  default: true
  data_files: [{split: train, path: "a/*.jsonl"}, {split: test, path: b/x.jsonl}]
- config_name: jv
  data_files: c.jsonl
---
"""
FILES = {"README.md": CARD, "a/3.bin": b"3", "c.jsonl": b"{}"} | {
    name: json.dumps({"from": name}).encode() for name in ("a/1.jsonl", "a/2.jsonl", "b/x.jsonl")
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with running_hub(Repository.of(NAME, FILES, "dataset")) as server, client_of(server, tmp_path / "cache"):
        yield server


def names(snapshot: Snapshot) -> list[str]:
    return [path.relative_to(snapshot.folder).as_posix() for path in snapshot.files]


def fetched(hub: Hub) -> list[str]:
    return sorted(request.path.split("/", 6)[6] for request in hub.asked(f"GET /datasets/{NAME}/resolve/*"))


@pytest.mark.parametrize(
    ("split", "files", "expected"),
    [
        ("train", None, ["a/1.jsonl", "a/2.jsonl"]),
        ("test", None, ["b/x.jsonl"]),
        ("train", "jv", ["c.jsonl"]),
        ("train", "*/x.*", ["b/x.jsonl"]),
    ],
)
def test_the_card_and_the_chosen_files_are_fetched_and_no_others(
    hub: Hub, tmp_path: Path, split: str, files: str | None, expected: list[str]
) -> None:
    snapshot = fetch_dataset(NAME, None, tmp_path / "converted", split=split, pattern=files)
    assert names(snapshot) == expected
    assert [path.read_bytes() for path in snapshot.files] == [FILES[name] for name in expected]
    assert fetched(hub) == sorted(["README.md", *expected])


def test_a_split_that_the_card_does_not_declare_is_refused_before_any_row_is_fetched(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="configuration id has no split validation, but train, test"):
        fetch_dataset(NAME, None, tmp_path / "converted", split="validation")
    assert fetched(hub) == ["README.md"]


@pytest.mark.parametrize("card", [True, False], ids=["with its card", "of before there was a card"])
def test_what_was_fetched_is_chosen_again_when_the_hub_is_gone(
    hub: Hub, tmp_path: Path, card: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts
    before = fetch_dataset(NAME, None, tmp_path / "converted")
    if not card:
        (before.folder / "README.md").unlink()
    hub.fail("*")
    again = fetch_dataset(NAME, None, tmp_path / "converted", pattern=None if card else "a/*")
    assert names(again) == ["a/1.jsonl", "a/2.jsonl"]


def test_a_card_that_cannot_be_read_is_passed_over_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"README.md": b"---\nconfigs: [\n---\n", "train.jsonl": b"{}"}
    with running_hub(Repository.of(NAME, files, "dataset")) as server, client_of(server, tmp_path / "cache"):
        assert names(fetch_dataset(NAME, None, tmp_path / "converted")) == ["train.jsonl"]
    assert "me/set: its card is passed over (README.md: not valid YAML" in capsys.readouterr().err
