"""The notebook's file: valid, without outputs, in two languages, with little code, and of no machine."""

import re

import nbformat
import pytest

from pipeline.profile import load_profile
from tests.support.imports import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "llada_indonesia.ipynb"
LINES = 20


@pytest.fixture(scope="module")
def cells():
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    return notebook.cells


def test_no_output_is_stored(cells):
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_every_text_is_in_both_languages(cells):
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert len(texts) > 8
    for text in texts:
        assert "**Bahasa Indonesia.**" in text
        assert "**English.**" in text


def test_cells_hold_little_code_and_name_no_place_of_one_machine(cells):
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= LINES
    assert not re.search(r"/(home|root|tmp|work|Users)/", "\n".join(code))


@pytest.mark.parametrize(("name", "profile"), [("SMALL", "mini"), ("SLICE", "llada-8b-t4"), ("SLICE", "mini")])
def test_the_settings_of_both_halves_are_settings_of_their_profiles(cells, name, profile):
    source = next(cell.source for cell in cells if f"{name} = [" in cell.source)
    words = re.findall(r'"([a-z_.]+=[^"]+)"', source)
    assert len(words) > 8
    load_profile(profile, words)


def test_both_readmes_lead_to_it():
    for name in ("README.md", "README.id.md"):
        assert "notebooks/llada_indonesia.ipynb" in (REPOSITORY / name).read_text(encoding="utf-8")
