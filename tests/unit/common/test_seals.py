"""Seals: a file that was exchanged for another, as valid, is named with the command that makes it again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from common import seals
from common.errors import InputError


def write_stage(root: Path) -> Path:
    """A stage that read `rows.txt` and wrote `out/a` and `out/b`; its facts."""
    (root / "out").mkdir(parents=True)
    for name in ("rows.txt", "out/a", "out/b"):
        (root / name).write_text(name)
    facts = root / "facts.json"
    facts.write_text(json.dumps({"n": 1, **seals.files(facts, read=[root / "rows.txt"], wrote=[root / "out"])}))
    return facts


def test_a_seal_is_the_files_sha256() -> None:
    assert seals.seal(Path(__file__)) == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


@pytest.mark.parametrize("place", [0, -1, 100, 2048])
def test_a_large_file_is_told_from_another_by_its_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(seals, "PIECE", 16)
    monkeypatch.setattr(seals, "WHOLE", 16 * seals.PIECES)
    path, size = tmp_path / "large", 4 * seals.WHOLE
    with path.open("wb") as stream:
        stream.truncate(size)
    before = seals.seal(path)
    with path.open("r+b") as stream:  # another content from here on, as another model's weights have
        stream.seek(place if place >= 0 else size + place)
        stream.write(os.urandom(min(size - stream.tell(), 8 * seals.PIECE)))
    assert path.stat().st_size == size
    assert seals.seal(path) != before


def test_what_a_stage_read_and_wrote_is_accepted_without_a_word(tmp_path: Path) -> None:
    facts = write_stage(tmp_path)
    assert list(json.loads(facts.read_text())["files"]["wrote"]) == ["out/a", "out/b"]
    for path in (tmp_path / "out", tmp_path / "out" / "a", facts, tmp_path):
        seals.check(facts, path, "make it")
    (tmp_path / "rows.txt").unlink()  # what was read may be gone
    (tmp_path / "out" / "notes").write_text("of the user's")
    seals.check(facts, tmp_path / "out", "make it")


@pytest.mark.parametrize("asked", ["out", "out/b", "."])
def test_an_exchanged_file_is_named_with_its_command(tmp_path: Path, asked: str) -> None:
    facts = write_stage(tmp_path)
    (tmp_path / "out" / "b").write_text("other")
    with pytest.raises(InputError, match=r"out/b: not the file that facts\.json tells of; run `make it` again"):
        seals.check(facts, tmp_path / asked, "make it")
    seals.check(facts, tmp_path / "out" / "a", "make it")


def test_a_stage_whose_input_changed_since_is_named_with_its_command(tmp_path: Path) -> None:
    facts = write_stage(tmp_path)
    (tmp_path / "rows.txt").write_text("other")
    with pytest.raises(InputError, match=r"facts\.json: made from another rows\.txt than is there now; run `make it`"):
        seals.check(facts, tmp_path / "out" / "a", "make it")


@pytest.mark.parametrize("content", [{}, {"files": {}}, {"files": {"wrote": {"elsewhere": "x"}}}])
def test_facts_without_seals_are_passed_over(tmp_path: Path, content: dict[str, object]) -> None:
    facts = write_stage(tmp_path)
    facts.write_text(json.dumps(content))
    seals.check(facts, tmp_path / "out", "make it")
    facts.unlink()
    seals.check(facts, tmp_path / "out", "make it")


def test_a_stage_of_ours_always_tells_of_its_files(tmp_path: Path) -> None:
    facts = write_stage(tmp_path)
    with pytest.raises(InputError, match=r"facts\.json: holds no hash of itself .*; run `make it` again"):
        seals.check(facts, tmp_path / "out", "make it", strict=True)
    facts.write_text(json.dumps(seals.sealed(facts, {}, read=(), wrote=[tmp_path / "out" / "a"])))
    seals.check(facts, tmp_path / "out", "make it", strict=True)


@pytest.mark.parametrize("content", ["[]", "null", '{"files": 3}', '{"files": {"wrote": ["a"]}}', "[" * 100_000])
def test_facts_of_another_shape_are_the_users_error(tmp_path: Path, content: str) -> None:
    facts = write_stage(tmp_path)
    facts.write_text(content)
    with pytest.raises(InputError, match=r"facts\.json"):
        seals.check(facts, tmp_path / "out", "make it")


def test_edited_facts_are_named_with_their_command(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    content = {"rows": {2: 0.1, 10: None}, "word": "\u2028"}
    facts.write_text(json.dumps(seals.sealed(facts, content, read=(), wrote=())))
    seals.check(facts, facts, "make it")
    facts.write_text(facts.read_text().replace("0.1", "0.2"))
    with pytest.raises(InputError, match=r"facts\.json: not what the stage wrote; run `make it` again"):
        seals.check(facts, facts, "make it")
