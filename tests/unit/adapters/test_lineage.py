"""An adapter belongs to the base it was trained on, though every base of the same shapes would take it."""

import json

import pytest

from adapters.lineage import check_base, read_run
from common.errors import InputError


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
