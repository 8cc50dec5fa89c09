"""Under DVC, what a profile reads from this machine is watched, or the stage `inputs` says how."""

from pathlib import Path

import pytest

from common.errors import InputError
from pipeline.paths import Paths
from pipeline.profile import load_profile
from pipeline.stages.inputs import run, unwatched


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A folder of rows below the folder that one works in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text('{"input": "Halo?", "output": "Halo!"}\n')
    (tmp_path / "params.yaml").write_text("profile: mini\nwatch: other\n")
    return tmp_path / "rows"


def test_the_bundled_default_and_hub_ids_need_no_watching():
    assert list(unwatched(load_profile("mini"), Path("/nowhere"))) == []
    assert list(unwatched(load_profile("llada-8b"), Path("/nowhere"))) == []


@pytest.mark.parametrize("source", ["rows", "rows/*.jsonl", "rows/a.jsonl"])
def test_rows_outside_the_watched_place_are_named_with_what_to_write(rows, source):
    profile = load_profile("mini", [f"data.source={source}"])
    [message] = unwatched(profile, rows.parent / "other")
    assert message.startswith(f"data.source: {source}")
    assert "`watch: rows" in message
    assert list(unwatched(profile, rows if "a.jsonl" not in source else rows.parent)) == []


def test_under_dvc_the_stage_refuses_what_dvc_would_not_see(rows, monkeypatch):
    profile = load_profile("mini", ["data.source=rows"])
    monkeypatch.setenv("DVC_ROOT", str(rows.parent))
    with pytest.raises(InputError, match="would not see when it changes"):
        run(profile, Paths.of("mini", rows.parent / "artefacts"))
