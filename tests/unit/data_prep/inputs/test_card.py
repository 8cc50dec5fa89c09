"""A dataset's card says which files are of which configuration and split; `datasets` reads it as we do."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from data_prep.inputs.card import Configuration, matches, read_configurations
from data_prep.inputs.finding import choose_files

NAMES = [
    "README.md", "all.parquet", "id/train-00000-of-00002.parquet", "id/train-00001-of-00002.parquet",
    "id/held_out.parquet", "id/deep/train-x.parquet", "jv/rows.jsonl", "jv/notes.txt", "_odd/a.csv",
]  # fmt: skip
CARD = """---
license: apache-2.0
dataset_info:
  - {config_name: id, features: [{name: input, dtype: string}]}
configs:
  # Indonesian first
  - config_name: id
    default: true
    data_files:
      - split: train
        path: id/train-*
      - split: test
        path: [id/held_out.parquet]
  - config_name: jv
    data_dir: jv
    data_files: "*.jsonl"
  - config_name: odd
    data_files: [_odd/a.csv]
  - config_name: 2024
    data_dir: id/deep
size_categories: [1K<n<10K]
---
# A set

configs: no
---
"""


def declared(text: str = CARD) -> list[Configuration]:
    return read_configurations(text, "README.md")


@pytest.mark.parametrize("text", [CARD, CARD.replace("\n", "\r\n"), "\ufeff" + CARD])
def test_configurations_splits_and_patterns_are_read(text: str) -> None:
    one, two, odd, number = declared(text)
    train = ("id/train-*",)
    assert one == Configuration("id", "", True, {"train": train, "test": ("id/held_out.parquet",)})
    assert two == Configuration("jv", "jv", False, {"train": ("*.jsonl",)})
    assert odd.splits == {"train": ("_odd/a.csv",)}
    assert (number.name, number.folder, number.splits) == ("2024", "id/deep", {})


@pytest.mark.parametrize(
    ("split", "wanted", "expected"),
    [
        ("train", None, NAMES[2:4]),
        ("test", None, ["id/held_out.parquet"]),
        ("train", "jv", ["jv/rows.jsonl"]),
        ("train", "odd", ["_odd/a.csv"]),
        ("train", "2024", ["id/deep/train-x.parquet"]),
        ("train", "all.*", ["all.parquet"]),
    ],
)
def test_files_are_chosen_by_the_card(split: str, wanted: str | None, expected: list[str]) -> None:
    assert choose_files("me/set", NAMES, split, wanted, declared()) == expected


def test_what_the_card_leaves_open_is_asked() -> None:
    without = declared(CARD.replace("    default: true\n", ""))
    with pytest.raises(InputError, match=r"4 configurations \(id, jv, odd, 2024\); .* such as data\.files: 2024"):
        choose_files("me/set", NAMES, "train", None, without)
    with pytest.raises(InputError, match=r"configuration id has no split validation, but train, test"):
        choose_files("me/set", NAMES, "validation", None, declared())
    with pytest.raises(InputError, match=r"patterns of id, train \(id/train-\*\) match no"):
        choose_files("me/set", ["all.parquet"], "train", None, declared())
    with pytest.raises(InputError, match=r"configuration 2024: no .* file in id/deep"):
        choose_files("me/set", ["all.parquet"], "train", "2024", declared())


def test_one_configuration_or_the_one_named_default_needs_no_choice() -> None:
    one = declared("---\nconfigs:\n- config_name: x\n  data_files: all.parquet\n---\n")
    assert choose_files("me/set", NAMES, "train", None, one) == ["all.parquet"]
    two = (
        "---\nconfigs:\n- {config_name: default, data_files: all.parquet}\n- {config_name: b, data_files: jv/*}\n---\n"
    )
    assert choose_files("me/set", NAMES, "train", None, declared(two)) == ["all.parquet"]


def test_splits_of_other_spellings_are_the_same_split() -> None:
    card = declared("---\nconfigs: [{config_name: a, data_files: [{split: dev, path: all.parquet}]}]\n---\n")
    assert choose_files("me/set", NAMES, "validation", None, card) == ["all.parquet"]


@pytest.mark.parametrize("text", ["", "# A set", "---\nlicense: mit\n---\n", "---\n---\n", "---\nconfigs:\n---\nx"])
def test_a_card_without_configurations_declares_none(text: str) -> None:
    assert declared(text) == []


@pytest.mark.parametrize("name", ["id", "jv", "2024"])
def test_datasets_reads_the_same_files_from_the_same_card(tmp_path: Path, name: str) -> None:
    datasets = pytest.importorskip("datasets")
    for each in NAMES[1:]:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_bytes(b"")
    (tmp_path / "README.md").write_text(CARD.replace("2024", '"2024"'), encoding="utf-8")
    builder = datasets.load_dataset_builder(str(tmp_path), name, cache_dir=str(tmp_path / "cache"))
    read = {
        split: [str(Path(file).relative_to(tmp_path)) for file in files]
        for split, files in builder.config.data_files.items()
    }
    for split, files in read.items():
        assert choose_files("me/set", NAMES, str(split), name, declared()) == sorted(files)
    assert "train" in read


@pytest.mark.parametrize(
    "configs", ["3", "[3]", "[{}]", "[{config_name: [a]}]", "[{config_name: a, data_files: [[]]}]", "{a: 1}", "[",
                "[{config_name: a}, {config_name: a}]", "[{config_name: a, data_files: [{split: s}]}]", "&a [*a]",
                "[{config_name: a, data_files: {train: x}}]", "!!x 1"],
)  # fmt: skip
def test_a_declaration_of_another_shape_is_one_line(configs: str) -> None:
    with pytest.raises(InputError, match=r"README\.md") as caught:
        declared(f"---\nconfigs: {configs}\n---\n")
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("id/*", NAMES[2:5]),
        ("id/**", NAMES[2:6]),
        ("**/train-*", [*NAMES[2:4], "id/deep/train-x.parquet"]),
        ("**", NAMES),
        ("*", ["README.md", "all.parquet"]),
        ("id/train-0000[01]-of-0000?.parquet", NAMES[2:4]),
        ("id/train-0000[!0]-*", ["id/train-00001-of-00002.parquet"]),
        ("id", []),
        ("/".join(["**", "*"] * 200), []),
    ],
)
def test_patterns_are_globs_folder_by_folder(pattern: str, expected: list[str]) -> None:
    assert [name for name in NAMES if matches(name, pattern)] == expected
