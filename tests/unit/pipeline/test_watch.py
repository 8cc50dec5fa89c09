"""Under DVC, what a profile reads from this machine is watched, or the stage that reads it says how."""

from pathlib import Path

import pytest
import yaml

from common.errors import InputError
from pipeline.paths import Paths
from pipeline.profile import load_profile
from pipeline.stages import evaluate
from pipeline.stages.inputs import local_sources, run
from pipeline.watched import unwatched


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A folder of rows below the folder that one works in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.jsonl").write_text('{"input": "Halo?", "output": "Halo!"}\n')
    (tmp_path / "params.yaml").write_text("profile: mini\nwatch: other\n")
    return tmp_path / "rows"


def test_the_bundled_default_and_hub_ids_need_no_watching():
    assert list(unwatched(local_sources(load_profile("mini")), Path("/nowhere"))) == []
    assert list(unwatched(local_sources(load_profile("llada-8b")), Path("/nowhere"))) == []


@pytest.mark.parametrize("source", ["rows", "rows/*.jsonl", "rows/a.jsonl"])
def test_rows_outside_the_watched_place_are_named_with_what_to_write(rows, source):
    sources = local_sources(load_profile("mini", [f"data.source={source}"]))
    [message] = unwatched(sources, rows.parent / "other")
    assert message.startswith(f"data.source: {source}")
    assert "`watch: rows" in message
    assert list(unwatched(sources, rows if "a.jsonl" not in source else rows.parent)) == []


def test_under_dvc_the_stage_refuses_what_dvc_would_not_see(rows, monkeypatch):
    profile = load_profile("mini", ["data.source=rows"])
    monkeypatch.setenv("DVC_ROOT", str(rows.parent))
    with pytest.raises(InputError, match="would not see when it changes"):
        run(profile, Paths.of("mini", rows.parent / "artefacts"))


def test_under_dvc_public_test_files_lie_where_dvc_looks_or_evaluate_refuses(rows, monkeypatch):
    task = "{name: IndoMMLU, kind: indommlu, file: rows/a.csv, shots: 1, shots_file: rows/b.csv}"
    settings = ["evaluation.english_file=rows/a.jsonl", f"evaluation.tasks=[{task}]"]
    profile = load_profile("mini", settings)
    messages = list(unwatched(evaluate.local_files(profile), rows.parent / "other"))
    assert [message.split(": ")[0] for message in messages] == [
        "evaluation.english_file",
        "evaluation.tasks[0].file",
        "evaluation.tasks[0].shots_file",
    ]
    assert list(unwatched(evaluate.local_files(profile), rows)) == []
    monkeypatch.setenv("DVC_ROOT", str(rows.parent))
    with pytest.raises(InputError, match=r"rows/a\.csv: `dvc repro` would not see when it changes"):
        evaluate.run(profile, Paths.of("mini", rows.parent / "artefacts"), "base")


def test_a_changed_test_file_makes_dvc_evaluate_again():
    graph = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text(encoding="utf-8"))
    assert "${watch}" in graph["stages"]["evaluate"]["do"]["deps"]
