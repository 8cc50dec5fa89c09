"""Selection: the funnel against plain Python, and the independence of everything that must not matter."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.config import INDONESIAN_SUBSETS, DataConfig
from data_prep.inputs.finding import search
from data_prep.inputs.row_files import check_rows
from data_prep.rows.quotas import fill, largest_remainder
from data_prep.rows.text import COLUMNS, normal_form, row_id
from data_prep.select.selection import select
from tests.support.cendol_rows import article_rows, poem_rows, question_rows, row, write_rows
from tests.support.imports import LONG, REPOSITORY

DIRT = [
    row("wikipedia_id", "wikipedia_section_0", "Apa yang kamu ketahui tentang kopi?", None),
    row("wikipedia_id", "wikipedia_section_0", None, "teh"),
    row("wikipedia_id", "wikipedia_section_0", " \u00a0 ", "teh"),
    row("wikipedia_id", "wikipedia_section_0", "apa\0itu", "teh"),
    row("dolly", "dolly_closed_qa", "Apa  itu\tkafe\u0301?", "kedai"),
    row("dolly", "dolly_closed_qa", "Apa itu kafé?", "kedai"),
    row("nusaparagraph_topic_jav", "classification", "ora", "ya"),
]


def all_rows() -> list[dict[str, Any]]:
    copies = [row("safety_prompt", "safety_prompt", "Cara menipu", "Jangan nakal")] * 25
    return [*article_rows(40), *poem_rows(10), *question_rows(30), *copies, *DIRT]


def run(files: list[Path], folder: Path, **changes: Any) -> tuple[pa.Table, dict[str, Any]]:
    candidates, facts = folder / "candidates.parquet", folder / "select.json"
    select(DataConfig(**changes), files=files, seed=42, candidates=candidates, facts=facts)
    return pq.read_table(candidates), json.loads(facts.read_text())


def plain_funnel(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The same steps, in plain Python."""
    inside = [item for item in rows if item["subset_name"] in INDONESIAN_SUBSETS]
    present = [item for item in inside if item["input"] is not None and item["output"] is not None]
    filled = [item for item in present if normal_form(item["input"]) and normal_form(item["output"])]
    readable = [item for item in filled if "\0" not in item["input"] + item["output"]]
    unique = {(normal_form(item["input"]), normal_form(item["output"])) for item in readable}
    counts = map(len, (rows, inside, present, filled, readable, unique))
    return dict(zip(("rows", "in_subsets", "not_null", "not_empty", "readable", "unique"), counts, strict=True))


def test_funnel_equals_plain_python(tmp_path: Path) -> None:
    rows = all_rows()
    table, facts = run([write_rows(tmp_path / "rows.parquet", rows)], tmp_path, sample_fraction=0.5)
    expected = plain_funnel(rows)
    assert {step: facts["total"][step] for step in expected} == expected
    assert table.num_rows == facts["total"]["sampled"] == round(0.5 * expected["unique"])
    for step, total in facts["total"].items():
        assert sum(counts[step] for counts in facts["subsets"].values()) == total


def test_without_deduplication_the_sample_is_a_share_of_all_rows_in_the_subsets(tmp_path: Path) -> None:
    rows = all_rows()
    table, facts = run([write_rows(tmp_path / "rows.parquet", rows)], tmp_path, sample_fraction=0.3, deduplicate=False)
    assert facts["total"]["unique"] == facts["total"]["readable"]
    assert table.num_rows == int(0.3 * facts["total"]["in_subsets"] + 0.5)
    assert len(set(table["id"].to_pylist())) == table.num_rows


def test_the_original_sample_size_comes_out() -> None:
    assert int(0.03 * 6_542_630 + 0.5) == 196_279
    rows = {"wikipedia_id": 6_069_267, "indo_puisi": 144_460, "wikihow": 97_848, "safety_prompt": 93_500,
            "dolly": 75_055, "identity_prompt": 62_500}  # fmt: skip
    assert sum(rows.values()) == 6_542_630
    usable = {**rows, "safety_prompt": 93_000}  # 500 rows are null
    quotas = fill(largest_remainder(usable, 196_279), usable)
    assert sum(quotas.values()) == 196_279
    assert all(abs(quotas[name] / count - 196_279 / 6_542_130) * count < 1 for name, count in usable.items())


def test_strata_get_their_largest_remainder_share(tmp_path: Path) -> None:
    table, facts = run([write_rows(tmp_path / "rows.parquet", all_rows())], tmp_path, sample_fraction=0.37)
    sizes = {name: counts["unique"] for name, counts in facts["templates"].items() if counts["unique"]}
    expected = {name: count for name, count in largest_remainder(sizes, table.num_rows).items() if count}
    stems = zip(table["subset_name"].to_pylist(), table["template_name"].to_pylist(), strict=True)
    assert Counter(f"{subset}/{template}" for subset, template in stems) == expected


def test_files_their_number_and_order_do_not_matter(tmp_path: Path) -> None:
    rows = all_rows()
    results = set()
    for files in (1, 2, 23):
        shuffled = random.Random(files).sample(rows, len(rows))
        paths = [write_rows(tmp_path / f"{files}/{part:02d}.parquet", shuffled[part::files]) for part in range(files)]
        run(paths[::-1], tmp_path, sample_fraction=0.5)
        facts = json.loads((tmp_path / "select.json").read_text())
        del facts["files"]  # which tells of the files that were read
        results.add((tmp_path / "candidates.parquet").read_bytes() + json.dumps(facts).encode())
    assert len(results) == 1


SELECT = """
import sys
from pathlib import Path

import daft

from data_prep.config import DataConfig
from data_prep.select.selection import select

source, folder, runner, threads = sys.argv[1:]
if runner == "local":
    daft.set_runner_native(num_threads=int(threads))
data = DataConfig(sample_fraction=0.5, runner=runner)
files = sorted(Path(source).glob("*.parquet"))
select(data, files=files, seed=42, candidates=Path(folder, "candidates.parquet"), facts=Path(folder, "select.json"))
"""


def selected_by(runner: str, threads: int, source: Path, folder: Path) -> bytes:
    """What `select` writes in a process of its own: daft takes its runner and threads once per process."""
    folder.mkdir()
    command = [sys.executable, "-c", SELECT, str(source), str(folder), runner, str(threads)]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=REPOSITORY)
    return b"".join((folder / name).read_bytes() for name in ("candidates.parquet", "select.json"))


@pytest.fixture
def rows_in_files(tmp_path: Path) -> Path:
    rows = all_rows()
    for part in range(5):
        write_rows(tmp_path / "rows" / f"{part}.parquet", rows[part::5])
    return tmp_path / "rows"


def test_the_number_of_threads_does_not_matter(tmp_path: Path, rows_in_files: Path) -> None:
    one, two = (selected_by("local", threads, rows_in_files, tmp_path / f"{threads}") for threads in (1, 2))
    assert one == two


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install --editable '.[ray]'")
@pytest.mark.skipif(not LONG, reason="a minute; LONG_TESTS=1 runs it")
def test_ray_selects_the_same_bytes(tmp_path: Path, rows_in_files: Path) -> None:
    local = selected_by("local", 2, rows_in_files, tmp_path / "local")
    assert selected_by("ray", 2, rows_in_files, tmp_path / "ray") == local


def test_a_megabyte_in_one_cell_passes_whole(tmp_path: Path) -> None:
    long = "sebuah kata yang panjang sekali " * 32_000 + "ini"
    rows = [*question_rows(3), row("dolly", "dolly_open_qa", "Apa itu?", long), row("dolly", "d", long, "ya")]
    table, facts = run([write_rows(tmp_path / "rows.parquet", rows)], tmp_path, sample_fraction=1.0)
    assert len(long) > 1_000_000
    assert facts["total"]["sampled"] == 5
    assert {len(text) for text in table["output"].to_pylist()} >= {len(long), 2}


def test_candidates_hold_no_stray_white_space(tmp_path: Path) -> None:
    dirty = [row("dolly", "d", "  Apa\u00a0 itu?\t", "Satu  dua,\r\n tiga. \n"), *question_rows(3)]
    table, _ = run([write_rows(tmp_path / "rows.parquet", dirty)], tmp_path, sample_fraction=1.0)
    assert ("Apa itu?", "Satu dua,\n tiga.") in {(item["input"], item["output"]) for item in table.to_pylist()}
    kept, _ = run([tmp_path / "rows.parquet"], tmp_path, sample_fraction=1.0, deduplicate=False)
    assert dirty[0]["input"] in kept["input"].to_pylist()


def test_a_candidate_is_named_after_its_columns(tmp_path: Path) -> None:
    table, _ = run([write_rows(tmp_path / "rows.parquet", all_rows())], tmp_path, sample_fraction=1.0)
    for item in table.to_pylist():
        assert item["id"] == row_id([item[name] for name in COLUMNS])


@pytest.mark.parametrize(
    ("rows", "said"),
    [([row("other", "t", "a", "b")], "data.subsets"), ([row("dolly", "t", "a", None)], "null"), ([], "no row at all")],
)
def test_nothing_left_is_an_error(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run([write_rows(tmp_path / "rows.parquet", rows)], tmp_path)


@pytest.mark.parametrize("wrong", [b"\xff\xfe", b"lone \xed\xa0\x80 surrogate"])
def test_text_that_is_not_utf8_is_an_error_that_names_the_file(tmp_path: Path, wrong: bytes) -> None:
    table = pa.Table.from_pylist(question_rows(2), pa.schema([(name, pa.string()) for name in COLUMNS]))
    broken = pa.array([b"baik", wrong], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(5, "input", broken), tmp_path / "broken.parquet")
    with pytest.raises(InputError, match=r"broken\.parquet: damaged"):
        run([tmp_path / "broken.parquet"], tmp_path)


def test_mapped_and_constant_columns(tmp_path: Path) -> None:
    table = pa.table({"instruction": ["satu", "dua"], "response": ["1", "2"]})
    (tmp_path / "rows").mkdir()
    pq.write_table(table, tmp_path / "rows" / "other.parquet")
    columns = {"input": "instruction", "output": "response", "subset_name": "=dolly"}
    columns |= dict.fromkeys(("dataset_name", "prompt_id", "template_name", "dataset_key"), "=x")
    files = check_rows(search(str(tmp_path / "rows")).files, columns, tmp_path).paths
    selected, _ = run(files, tmp_path, columns=columns, sample_fraction=1.0)
    assert sorted(selected["input"].to_pylist()) == ["dua", "satu"]
    assert set(selected["subset_name"].to_pylist()) == {"dolly"}


@pytest.mark.parametrize(
    "text",
    ["\u200b", "\u00ad", "\ufeff", "\u2060", "\u3164", "\u115f", "\ufe0f", "\u2800", "\u200e \u061c\n", "\U000e0041"],
)
def test_a_text_of_invisible_characters_alone_is_empty(tmp_path: Path, text: str) -> None:
    rows = [row("dolly", "t", "Apa?", text), row("dolly", "t", text, "Itu."), row("dolly", "t", f"a{text}b", "Ya.")]
    table, facts = run([write_rows(tmp_path / "rows.parquet", rows)], tmp_path, sample_fraction=1.0)
    assert (facts["total"]["not_null"], facts["total"]["not_empty"]) == (3, 1)
    assert table["input"].to_pylist() == [f"a{text}b"]


def test_the_folder_of_files_and_candidates_may_hold_any_character(tmp_path: Path) -> None:
    folder = tmp_path / "br [v1] {a,b}*?"
    table, _ = run([write_rows(folder / "rows [1].parquet", question_rows(3))], folder, sample_fraction=1.0)
    assert table.num_rows == 3


def test_rows_are_copies_only_where_the_turns_before_them_agree(tmp_path: Path) -> None:
    items = [{**row("dolly", "t", "Lalu?", "Ya."), "history": text} for text in (None, "[]", "[]")]
    pq.write_table(pa.Table.from_pylist(items), tmp_path / "rows.parquet")
    table, _ = run([tmp_path / "rows.parquet"], tmp_path, sample_fraction=1.0, columns={"history": "history"})
    assert table.num_rows == 2
