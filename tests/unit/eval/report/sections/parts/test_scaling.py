"""The report's part about scaling: every line in the table with its law, an open interval said, nothing mixed."""

import json

import pytest

from common.errors import InputError
from eval.report.load import read_checked
from eval.report.sections.parts.scaling import Scaling, build
from eval.report.templates.environment import TEMPLATES
from tests.support.report import scaling_facts


@pytest.fixture(scope="module")
def facts():
    return scaling_facts()


def test_every_line_is_a_row_and_every_axis_that_was_run_a_chart(facts):
    section = build(facts)
    assert len(section.rows) == len(facts["lines"]) == 2 * (2 + 4 + 1)
    assert [panel.count("<polyline") + panel.count("<path") > 0 for panel in section.panels] == [True] * 3
    row = next(one for one in section.rows if (one.system, one.axis, one.at) == ("ar-lora", "rows", "rank 8"))
    line = next(one for one in facts["lines"] if one["system"] == "ar-lora" and one["fixed"] == {"rank": 8})
    assert (row.span, row.seeds) == ("500 to 4,000", "2")
    assert row.exponent.startswith(f"{line['law']['exponent']:.2f} (")
    assert row.beyond.endswith(" at 16,000")
    few = next(one for one in section.rows if one.axis == "parameters")
    assert (few.exponent, few.offset, few.beyond) == ("–", "–", "–")  # two ranks are no law


def test_every_line_of_a_chart_is_named_below_it(facts):
    section = build(facts)
    assert len(section.legends) == len(section.panels)
    for chart, legend in zip(section.panels, section.legends, strict=True):
        assert chart.count("<polyline") == len(legend)
        assert all(f'class="line {one.style}"' in chart for one, _ in legend)
    assert ("ar-lora", "rank 8") in [(one.title, at) for one, at in section.legends[0]]


def test_an_open_interval_is_said(facts):
    line = next(one for one in facts["lines"] if one["law"])
    opened = line | {"law": line["law"] | {"exponent_low": None, "exponent_high": None}}
    assert build({"lines": [opened]}).rows[0].exponent.endswith("(0 to ∞)")
    assert build({"lines": []}) is None


def test_the_file_is_checked_before_it_is_shown(facts, tmp_path):
    path = tmp_path / "scale.json"
    path.write_text(json.dumps(facts))
    read_checked(path, Scaling, "python -m pipeline scale")
    for spoil in ({"axis": "colour"}, {"points": []}, {"law": {"exponent": "steep"}}, {"fixed": {"rank": "8"}}):
        path.write_text(json.dumps({"lines": [facts["lines"][0] | spoil]}))
        with pytest.raises(InputError):
            read_checked(path, Scaling, "python -m pipeline scale")


def test_its_words_are_known_in_indonesian():
    words = json.loads((TEMPLATES / "indonesian.json").read_text(encoding="utf-8"))
    for title in ("Scaling", "Exponent", "Bound by rows", "Bound by compute", "training rows, logarithmic"):
        assert title in words
