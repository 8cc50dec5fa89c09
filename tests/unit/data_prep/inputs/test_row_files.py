"""Row files of every form: read where there is no doubt, refused in one sentence where there is, never half."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from data_prep.config import DataConfig
from data_prep.inputs import sources
from data_prep.inputs.finding import choose_files, search
from data_prep.inputs.row_files import check_rows
from data_prep.inputs.row_forms import RowForm
from data_prep.rows.conversation import read_history
from data_prep.rows.text import COLUMNS
from data_prep.select.selection import select, with_columns
from tests.support.cendol_rows import row
from tests.support.faults.rows import GOOD, Writer, nasty_folders


def chosen(folder: Path, columns: dict[str, str] | None = None, source: str | None = None) -> list[dict[str, Any]]:
    """The candidates of a folder of rows."""
    rows = check_rows(search(source or str(folder)).files, columns or {}, folder.parent / "ready", "mine")
    data = with_columns(DataConfig(columns=columns or {}, sample_fraction=1.0), rows.columns)
    target = folder.parent / "candidates.parquet"
    select(data, files=rows.paths, seed=0, candidates=target, facts=folder.parent / "select.json")
    return pq.read_table(target).to_pylist()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    return tmp_path / "rows"


def write_lines(path: Path, *lines: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("case", list(nasty_folders()), ids=lambda case: case[0])
def test_every_odd_file_is_read_or_refused_in_one_line(rows: Path, case: tuple[str, Writer]) -> None:
    case[1](rows)
    try:
        found = check_rows(search(str(rows)).files, {}, rows.parent / "ready")
    except InputError as error:
        (fault,) = error.faults
        assert "\n" not in fault
        return
    assert all(pq.read_schema(path).field("input").type in (pa.string(), pa.large_string()) for path in found.paths)


@pytest.mark.parametrize("order", [("null", "text"), ("text", "null")])
@pytest.mark.parametrize("column", ["template_name", "output"])
def test_a_column_that_is_null_in_one_file_keeps_its_values_in_the_other(
    rows: Path, order: tuple[str, str], column: str
) -> None:
    for place, kind in enumerate(order):
        values = {name: [f"{kind} {name}"] for name in COLUMNS} | {"subset_name": ["dolly"]}
        table = pa.table(values)
        if kind == "null":
            table = table.set_column(COLUMNS.index(column), column, pa.nulls(1))
        pq.write_table(table, rows / f"{place}.parquet")
    found = {item["input"]: item[column] for item in chosen(rows)}
    assert found["text input"] == f"text {column}"


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_every_type_of_text_is_text(rows: Path, kind: pa.DataType) -> None:
    table = pa.table({name: pa.array([value]).cast(kind) for name, value in GOOD.items()})
    pq.write_table(table.set_column(2, "prompt_id", pa.array([7])), rows / "a.parquet")
    (item,) = chosen(rows)
    assert {name: item[name] for name in COLUMNS} == {**GOOD, "prompt_id": "7"}


def test_the_keys_of_every_line_count(rows: Path) -> None:
    write_lines(rows / "a.jsonl", {"q": "a", "a": "b"}, {"q": "c", "a": "d", "subset_name": "dolly", "context": "x"})
    ready = check_rows(search(str(rows)).files, {"input": "q", "output": "a"}, rows.parent / "ready", "mine")
    assert ready.ignored_columns == ["context"]
    assert "subset_name" not in ready.columns
    assert pq.read_table(ready.paths[0])["subset_name"].to_pylist() == [None, "dolly"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_what_is_no_number_is_no_answer(rows: Path, number: str, name: str) -> None:
    good = json.dumps(GOOD)
    bad = good.replace('"Kopi."', number)
    (rows / name).write_text(f"[{good}, {bad}]" if name == "a.json" else f"{good}\n{bad}\n")
    place = "row 2" if name == "a.json" else "line 2"
    with pytest.raises(InputError, match=f"{name}: {place}: not valid JSON .*{number.lstrip('-')}"):
        check_rows(search(str(rows)).files, {}, rows.parent / "ready")


@pytest.mark.parametrize("bad", ["NaN", "9" * 5000, "[" * 100_000, '"open', "nulL", "1e999"])
@pytest.mark.parametrize("form", ["[%s]", "[\n  %s\n]\n", '{"a [list]": [%s]}'])
def test_a_fault_in_a_json_list_names_its_row(rows: Path, bad: str, form: str) -> None:
    third = json.dumps(GOOD).replace('"Kopi."', bad)
    (rows / "a.json").write_text(form % f"{json.dumps(GOOD)},\n {json.dumps(GOOD)}, {third}")
    with pytest.raises(InputError, match=r"a\.json: row 3: not valid JSON"):
        check_rows(search(str(rows)).files, {}, rows.parent / "ready")


@pytest.mark.parametrize("text", ["[%s %s]", "[%s, %s", "[%s, %s]]", "{%s, %s}"])
def test_a_fault_between_the_rows_of_a_list_names_the_place_in_the_file(rows: Path, text: str) -> None:
    (rows / "a.json").write_text("\n" + text % (json.dumps(GOOD), json.dumps(GOOD)))
    with pytest.raises(InputError, match=r"a\.json: .*line [12] column"):
        check_rows(search(str(rows)).files, {}, rows.parent / "ready")


def test_hidden_files_are_no_data_and_linked_folders_are(rows: Path, tmp_path: Path) -> None:
    write_lines(rows / "deep" / "a.JSONL", GOOD)
    for place in ("._a.jsonl", ".ipynb_checkpoints/a.jsonl", "__MACOSX/a.jsonl", "_a.jsonl"):
        write_lines(rows / place, GOOD)
    write_lines(tmp_path / "elsewhere" / "b.jsonl", GOOD)
    (rows / "linked").symlink_to(tmp_path / "elsewhere")
    (rows / "deep" / "loop").symlink_to(rows)
    found = search(str(rows))
    assert [str(path.relative_to(rows)) for path in found.files] == ["deep/a.JSONL", "linked/b.jsonl"]
    assert found.hidden == 4


@pytest.mark.parametrize("name", ["data [v2]", "data {a,b}", "da*ta", "what?"])
def test_a_path_that_exists_is_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "rows"
    write_lines(folder / "a.jsonl", GOOD)
    pq.write_table(pa.Table.from_pylist([{**GOOD, "input": "lain"}]), folder / "b [1].parquet")
    assert len(chosen(folder)) == 2
    assert len(chosen(folder, source=f"{folder}/*.jsonl")) == 1
    assert sources._kind(str(folder)) == "folder"
    assert sources._source_name(str(tmp_path / name)) == name


def test_alpaca_s_context_is_joined_to_its_instruction(rows: Path) -> None:
    write_lines(
        rows / "a.jsonl",
        {"instruction": "Ringkas.", "input": "Kopi itu pahit.", "output": "Pahit."},
        {"instruction": "Sapa.", "input": "", "output": "Halo."},
        {"instruction": "Hitung.", "output": "Satu."},
    )
    found = {item["output"]: item["input"] for item in chosen(rows)}
    assert found == {"Pahit.": "Ringkas.\n\nKopi itu pahit.", "Halo.": "Sapa.", "Satu.": "Hitung."}


def test_a_template_joins_columns_and_sees_nothing_but_their_texts(rows: Path) -> None:
    write_lines(rows / "a.jsonl", {"q": "Apa {a}?", "c": "Kopi", "a": "b"}, {"q": "Lagi?", "a": "c", "c": None})
    pq.write_table(pa.table({"q": ["Siapa?"], "a": ["d"]}), rows / "b.parquet")
    columns = {"input": "{q}\n\n{c}", "output": "a"}
    assert {item["output"]: item["input"] for item in chosen(rows, columns)} == {
        "b": "Apa {a}?\n\nKopi", "c": "Lagi?", "d": "Siapa?",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"no file has a column q\.__class__"):
        chosen(rows, {"input": "{q.__class__}", "output": "a"})


MESSAGES = [
    {"role": "system", "content": "Jawab singkat."},
    {"role": "user", "content": "Apa itu kopi?"},
    {"role": "assistant", "content": "Minuman."},
    {"role": "user", "content": "Dari apa?"},
    {"role": "assistant", "content": "Biji."},
]
SHARE = [{"from": {"user": "human", "assistant": "gpt"}.get(m["role"], m["role"]), "value": m["content"]}
         for m in MESSAGES]  # fmt: skip


@pytest.mark.parametrize("form", ["messages", "conversations", "mapped", "parquet", "parts"])
def test_every_answer_of_a_conversation_is_a_row_with_the_turns_before_it(rows: Path, form: str) -> None:
    if form == "parquet":
        pq.write_table(pa.table({"messages": [MESSAGES], "extra": [1]}), rows / "a.parquet")
    else:
        parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in MESSAGES]
        line = {"conversations": {"conversations": SHARE}, "mapped": {"talk": MESSAGES}, "parts": {"messages": parts}}
        write_lines(rows / "a.jsonl", line.get(form, {"messages": MESSAGES}))
    second, first = sorted(chosen(rows, {"messages": "talk"} if form == "mapped" else None), key=lambda r: r["output"])
    assert (first["input"], first["output"], first["history"]) == ("Apa itu kopi?", "Minuman.", None)
    assert (second["input"], second["output"]) == ("Dari apa?", "Biji.")
    assert read_history(second["history"]) == MESSAGES[1:3]
    assert first["system"] == second["system"] == "Jawab singkat."
    assert first["group"] == second["group"]
    assert first["subset_name"] == "mine"


def test_consecutive_messages_are_one_and_an_answer_to_no_question_is_history() -> None:
    said = [("assistant", "Halo."), ("user", "Satu"), ("user", "dua?"), ("assistant", "Tiga."), ("user", "Lagi?")]
    dropped: Counter[str] = Counter()
    messages = [{"role": role, "content": text} for role, text in said]
    (turn,) = RowForm.of({}).rows({"messages": messages}, dropped)
    assert (turn["input"], turn["output"]) == ("Satu\n\ndua?", "Tiga.")
    assert read_history(turn["history"]) == messages[:1]
    assert dropped == {"answers_to_no_question": 1}


def test_a_row_may_have_its_own_system_prompt(rows: Path) -> None:
    write_lines(rows / "a.jsonl", {**GOOD, "system": "Jawab singkat."}, {**GOOD, "output": "Teh."})
    pq.write_table(pa.Table.from_pylist([{**GOOD, "output": "Susu."}]), rows / "b.parquet")
    assert {item["output"]: item["system"] for item in chosen(rows)} == {
        "Kopi.": "Jawab singkat.", "Teh.": None, "Susu.": None,
    }  # fmt: skip


DOCUMENTS = ("Hujan turun di Bogor.\n\nJalan basah.", "Pasar itu ramai.")


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_a_column_text_holds_documents(rows: Path, ending: str) -> None:
    if ending == "jsonl":
        write_lines(rows / "a.jsonl", *({"text": text, "url": "x"} for text in DOCUMENTS))
    elif ending == "parquet":
        pq.write_table(pa.table({"text": list(DOCUMENTS), "url": ["x", "x"]}), rows / "a.parquet")
    else:
        (rows / "a.csv").write_text("text,url\n" + "".join(f'"{text}",x\n' for text in DOCUMENTS))
    assert check_rows(search(str(rows)).files, {}, rows.parent / "other").ignored_columns == ["url"]
    found = chosen(rows)
    assert {row["output"] for row in found} == {*DOCUMENTS}
    assert {(row["input"], row["form"], row["subset_name"]) for row in found} == {("", "text", "mine")}


def test_documents_are_named_or_made_of_columns_and_stand_beside_conversations(rows: Path) -> None:
    write_lines(rows / "a.jsonl", {"title": "Bogor", "body": DOCUMENTS[0]}, {"input": "Apa?", "output": "Teh."})
    found = chosen(rows, {"text": "{title}\n\n{body}"})
    assert sorted((row["input"], row["output"], row["form"]) for row in found) == [
        ("", f"Bogor\n\n{DOCUMENTS[0]}", "text"), ("Apa?", "Teh.", None),
    ]  # fmt: skip
    write_lines(rows / "a.jsonl", {"text": DOCUMENTS[0]}, {"input": "Apa?", "output": "Teh."}, {"text": " \u200b"})
    assert sorted(row["output"] for row in chosen(rows)) == [DOCUMENTS[0], "Teh."]


def test_a_column_text_beside_questions_is_no_document(rows: Path) -> None:
    write_lines(rows / "a.jsonl", {"instruction": "Apa?", "output": "Teh.", "text": "### Apa? ### Teh."})
    assert [(row["input"], row.get("form")) for row in chosen(rows)] == [("Apa?", None)]
    write_lines(rows / "a.jsonl", {"question": "Apa?", "text": "Teh."})
    with pytest.raises(InputError, match=r"data\.columns"):
        chosen(rows)


def test_a_column_of_theirs_is_not_taken_for_one_of_ours(rows: Path) -> None:
    table = pa.table({**{name: [value] for name, value in GOOD.items()}, "history": ["no JSON"], "system": [True]})
    pq.write_table(table, rows / "a.parquet")
    talk = {**{name: value for name, value in GOOD.items() if name not in ("input", "output")}, "messages": MESSAGES}
    write_lines(rows / "b.jsonl", talk)
    assert [(item["history"], item["system"]) for item in chosen(rows) if item["output"] == "Kopi."] == [(None, None)]


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (["constraints_test.parquet", "main.parquet"], "train", ["main.parquet"]),
        (["training_data/test.jsonl", "training_data/a.jsonl"], "train", ["training_data/a.jsonl"]),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/dev-00000-of-00001.parquet"],
         "train", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        (["train/0.jsonl", "validation/0.jsonl", "train/.cache/x.jsonl"], "train", ["train/0.jsonl"]),
        (["constraint.parquet", "contest.parquet"], "train", ["constraint.parquet", "contest.parquet"]),
        (["dev.jsonl", "train.jsonl"], "validation", ["dev.jsonl"]),
        (["data/train_sft-0-of-1.parquet", "data/train_gen-0-of-1.parquet"], "train_sft",
         ["data/train_sft-0-of-1.parquet"]),
        (["README.md", "dataset_infos.json", "a.csv"], "train", ["a.csv"]),
        (["README.md"], "train", []),
    ],
)  # fmt: skip
def test_hub_files_are_chosen_by_whole_words(names: list[str], split: str, expected: list[str]) -> None:
    assert choose_files("me/set", names, split, None) == expected


def test_hub_configurations_are_chosen_and_never_mixed() -> None:
    names = ["en/train.parquet", "id/train.parquet", "id/test.parquet"]
    with pytest.raises(InputError, match=r"2 configurations \(en, id\); choose with data\.files, such as 'id/\*'"):
        choose_files("me/set", names, "train", None)
    for pattern in ("id/tr*", "id/*"):  # the advised one holds test rows, too
        assert choose_files("me/set", names, "train", pattern) == ["id/train.parquet"]
    assert choose_files("me/set", names, "train", "id/te*") == ["id/test.parquet"]  # as it is asked for
    for split, pattern in (("validation", None), ("train", "jv/*")):
        with pytest.raises(InputError, match=r"data\.(split|files)"):
            choose_files("me/set", names, split, pattern)


@pytest.mark.parametrize(
    ("names", "advised"),
    [
        (["train_en.parquet", "train_id.parquet"], "train_id.parquet"),
        (["train-en/0.parquet", "train-id/0.parquet", "train-id/1.parquet"], "train-id/*"),
    ],
)
def test_configurations_are_told_by_names_that_tell_the_split(names: list[str], advised: str) -> None:
    with pytest.raises(InputError, match=r"2 configurations \(en, id\)") as caught:
        choose_files("me/set", names, "train", None)
    assert f"such as '{advised}'" in str(caught.value)
    assert all("id" in name for name in choose_files("me/set", names, "train", advised))


def test_numbers_and_sets_in_names_are_no_configurations() -> None:
    names = ["train2.jsonl", "train-1.jsonl", "trainset.jsonl", "part1.jsonl", "test2.parquet", "testset.jsonl"]
    assert choose_files("me/set", names, "train", None) == ["train-1.jsonl", "train2.jsonl", "trainset.jsonl"]
    assert choose_files("me/set", names, "test", None) == ["test2.parquet", "testset.jsonl"]


def test_names_that_look_like_markup_are_shown_as_they_are(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[/INST] bagian", "wiki:id:2024", "[id] berita"]
    lines = [row(name, "t[/1]", f"apa {name}?", "None" if name == names[0] else "ya") for name in names]
    write_lines(rows / "a.jsonl", *lines)
    data = DataConfig(subsets=tuple(names), sample_fraction=1.0)
    ready = check_rows(search(str(rows)).files, {}, rows.parent / "ready")
    facts = rows.parent / "select.json"
    select(data, files=ready.paths, seed=0, candidates=rows.parent / "c.parquet", facts=facts)
    shown = capsys.readouterr().err
    assert all(name in shown for name in names)
    assert json.loads(facts.read_text())["placeholder_answers"] == {"None": 1}
    assert "may stand for no answer, kept: 'None' 1" in shown
