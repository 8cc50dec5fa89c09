"""An adapter belongs to the base it was trained on, though every base of the same shapes would take it."""

import json

import pytest

from adapters.lineage import check_base, check_rows, read_run
from common import seals
from common.errors import InputError
from common.files import sha256_of_file


def write_run(folder, content):
    (folder / "run.json").write_text(json.dumps(content))


def test_the_base_that_an_adapter_was_trained_on_is_accepted_without_a_word(tmp_path, capsys):
    write_run(tmp_path, {"method": "lora", "base": {"name": None, "revision": None, "sha256": "a" * 64}})
    check_base(tmp_path, tmp_path / "base", "a" * 64)
    assert capsys.readouterr().err == ""


def test_another_base_is_refused_in_one_sentence_that_names_both(tmp_path):
    write_run(tmp_path, {"base": {"name": "GSAI-ML/LLaDA-8B-Base", "sha256": "a" * 64}})
    with pytest.raises(InputError) as caught:
        check_base(tmp_path, tmp_path / "base", "b" * 64)
    (fault,) = caught.value.faults
    assert "GSAI-ML/LLaDA-8B-Base (aaaaaaaaaaaa)" in fault
    assert "base is another (bbbbbbbbbbbb)" in fault


@pytest.mark.parametrize("content", [None, {"method": "lora"}, {"base": {}}])
def test_an_adapter_that_records_no_base_is_accepted_with_a_note(tmp_path, capsys, content):
    if content is not None:
        write_run(tmp_path, content)
    check_base(tmp_path, tmp_path / "base", "b" * 64)
    assert "does not record the base it was trained on" in capsys.readouterr().err


@pytest.mark.parametrize("content", [[], 3, None, "text", {"base": []}, {"base": {"sha256": 3}}, {"title": {}}])
def test_a_record_of_another_shape_is_the_users_error(tmp_path, content):
    write_run(tmp_path, content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_record_that_is_nested_too_deeply_is_the_users_error(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        read_run(tmp_path)


def trained(folder):
    """What a training leaves: weights, settings, and run.json that records both and the rows."""
    folder.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).write_text(name)
    rows = folder.parent / "formatted"
    rows.mkdir()
    (rows / "train.parquet").write_text("rows")
    wrote = [folder / "adapter_model.safetensors", folder / "adapter_config.json"]
    run = {
        "steps": 3,
        "base": {"sha256": "a"},
        "data": {"sha256": {"train": sha256_of_file(rows / "train.parquet")}},
    }
    write_run(folder, run | seals.files(folder / "run.json", read=(), wrote=wrote))
    return folder, rows


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_another_adapter_in_the_place_of_the_trained_one_is_noticed(tmp_path, name):
    adapter, _ = trained(tmp_path / "lora")
    check_base(adapter, tmp_path / "base", "a")
    (adapter / name).write_text("of another training")
    with pytest.raises(InputError, match=f"{name}: not the file that run.json tells of; run `accelerate launch"):
        check_base(adapter, tmp_path / "base", "a")


@pytest.mark.parametrize(
    ("lost", "words"),
    [(("base", "sha256"), "the base"), (("base",), "the base"), (("files",), r"adapter_model\.safetensors"),
     (("files", "wrote", "adapter_config.json"), r"adapter_config\.json"),
     (("data",), "the rows it was trained on"), (("data", "sha256"), "the rows it was trained on")],
)  # fmt: skip
def test_a_record_of_ours_without_its_hashes_is_not_believed(tmp_path, lost, words):
    adapter, rows = trained(tmp_path / "lora")
    holder = run = json.loads((adapter / "run.json").read_text())
    for key in lost[:-1]:
        holder = holder[key]
    del holder[lost[-1]]
    write_run(adapter, run)
    checks = {"data": lambda: check_rows(adapter, rows)}
    with pytest.raises(InputError, match=rf"run\.json: holds no hash of {words}; run `accelerate launch"):
        checks.get(lost[0], lambda: check_base(adapter, tmp_path / "base", "a"))()


def test_rows_that_were_formatted_again_since_the_training_are_noticed(tmp_path):
    adapter, rows = trained(tmp_path / "lora")
    check_rows(adapter, rows)
    (rows / "train.parquet").write_text("other rows")
    with pytest.raises(InputError, match=r"lora: trained on another .*train\.parquet than is there now; run `accel"):
        check_rows(adapter, rows)
