"""The word tables: every line is an entry of its class, and a damaged table is refused with file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import InputError
from data_prep.bundled.language import nature, words
from data_prep.bundled.language.word_tables import FOLDER, column, read_table


@dataclass(frozen=True)
class Tool:
    name: str
    parts: tuple[str, ...]
    weight: int
    place: str | None


def written(folder: Path, *lines: str) -> Path:
    path = folder / "tools.csv"
    path.write_text("\n".join(["name,parts,weight,place", *lines, ""]), encoding="utf-8")
    return path


def test_a_line_becomes_an_entry_whose_fields_are_the_columns(tmp_path: Path) -> None:
    path = written(tmp_path, '"palu, besar",kepala; gagang,500,', "tang,rahang,200,bengkel")
    assert read_table(path, Tool) == (
        Tool("palu, besar", ("kepala", "gagang"), 500, None),
        Tool("tang", ("rahang",), 200, "bengkel"),
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["palu,kepala,500"], "line 2: 3 columns; the header has 4"),
        (["palu,kepala,500,,"], "line 2: 5 columns; the header has 4"),
        (["palu,kepala,500,", "tang,rahang,200,", "palu,kepala,500,"], "line 4: the same as line 2"),
        (["palu,kepala,berat,"], "line 2: 'berat': not a whole number"),
        (["palu,kepala,500,", ",rahang,200,"], "line 3: an empty cell"),
        (["palu, kepala,500,"], "line 2: ' kepala': white space"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, lines: list[str], said: str) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(InputError) as error:
        read_table(path, Tool)
    assert str(error.value).startswith(f"{path}: {said}")


def test_a_header_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tools.csv"
    path.write_text("name,weight\npalu,500\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1: the columns are name, weight; they should be name, parts"):
        read_table(path, Tool)


def test_entries_keep_the_order_of_their_lines() -> None:
    lines = (FOLDER / "animals.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [animal.name for animal in nature.animals()] == [line.split(",")[0] for line in lines]
    assert words.NAMES == column("names") == tuple((FOLDER / "names.csv").read_text("utf-8").split()[1:])


def test_every_table_is_read_by_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.parent.glob("*.py"))
    assert [path.name for path in FOLDER.iterdir() if f'"{path.stem}"' not in code] == []
