"""Status: done, stale or missing per stage, with facts, and the next command."""

import json
import subprocess

import pytest

from common.errors import InputError
from pipeline.commands import status
from pipeline.paths import Paths
from pipeline.profile import load_profile

PROFILE = load_profile("mini")
FACTS = {
    "inputs.json": {
        "dataset": {"files": [{}, {}], "source": "embedded"},
        "base": {"source": "embedded", "sha256": "0123456789abcdef"},
    },
    "select.json": {"total": {"rows": 9000, "sampled": 7200}},
    "embed.json": {"rows": 7200, "dimension": 128},
    "cluster.json": {"clusters": [{"rows": 3000}, {"rows": 4200}]},
    "leakage.json": {
        "rows": {"train": 4050, "validation": 450, "test": 100},
        "after": {"test": {"any": 0}, "validation": {"any": 1}},
    },
}


def write(paths: Paths, names=FACTS) -> Paths:
    paths.root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (paths.root / name).write_text(json.dumps(FACTS[name]))
    return paths


def test_facts_of_finished_stages_and_the_next_command(tmp_path):
    paths = write(Paths.of("mini", tmp_path))
    stages = {entry.stage: entry for entry in status.stage_states(PROFILE, paths)}
    assert [name for name, entry in stages.items() if entry.state == "done"] == [
        "inputs", "select", "embed", "cluster", "split",
    ]  # fmt: skip
    assert stages["select"].facts == "7,200 of 9,000 rows"
    assert stages["cluster"].facts == "2 clusters of 3,000 to 4,200 rows"
    assert stages["split"].facts == "4,050 / 450 / 100 rows, 1 leaks"
    assert stages["train@pissa"].state == "missing"
    command = status.next_command(stages.values(), by_dvc=False)
    assert command == f"python -m pipeline format --artifacts {tmp_path}"


def test_every_stage_of_the_profile_is_listed_in_order(tmp_path):
    names = [entry.stage for entry in status.stage_states(PROFILE, Paths.of("mini", tmp_path))]
    assert names == [
        "inputs", "select", "embed", "cluster", "split", "format", "train@lora", "train@loraplus", "train@pissa",
        "evaluate@base", "evaluate@lora", "evaluate@loraplus", "evaluate@pissa", "report",
    ]  # fmt: skip


def test_nothing_is_next_when_all_is_done():
    done = status.StageStatus("inputs", "done", "", "", "x")
    assert status.next_command([done], by_dvc=True) is None


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with dvc.lock and a `dvc status` that says what the test wants."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text("outs:\n- path: artifacts/mini/inputs\n")
    answer = {"stdout": "{}", "returncode": 0, "stderr": ""}

    def run(command, **_):
        assert command[1:] == ["status", "--json"]
        return subprocess.CompletedProcess(command, answer["returncode"], answer["stdout"], answer["stderr"])

    monkeypatch.setattr(status.subprocess, "run", run)
    write(Paths.of("mini"))
    return answer


def test_stale_is_what_dvc_says_with_the_reason(repository):
    changed = {"configs/mini.yaml": {"data.clusters": "modified"}, "data_prep/cluster/clustering.py": "modified"}
    repository["stdout"] = json.dumps({"cluster": [{"changed deps": changed}], "embed": ["changed command"]})
    stages = {entry.stage: entry for entry in status.stage_states(PROFILE, Paths.of("mini"))}
    assert stages["cluster"].state == "stale"
    assert stages["cluster"].reason == "data.clusters, data_prep/cluster/clustering.py"
    assert stages["embed"].reason == "changed command"
    assert stages["select"].state == "done"
    assert status.next_command(stages.values(), by_dvc=True) == "dvc repro"


def test_moved_artefacts_are_not_asked_of_dvc(repository, tmp_path):
    repository["stdout"] = json.dumps({"embed": ["changed command"]})
    paths = write(Paths.of("mini", tmp_path / "elsewhere"))
    assert not status.is_dvc_run(paths, "mini")
    assert all(entry.state != "stale" for entry in status.stage_states(PROFILE, paths))


def test_a_profile_that_dvc_never_ran_is_not_asked_either(repository):
    assert status.is_dvc_run(Paths.of("mini"), "mini")
    assert not status.is_dvc_run(Paths.of("mini-two"), "mini-two")


def test_a_failing_dvc_is_told_in_its_own_words(repository):
    repository.update(returncode=255, stdout="", stderr="ERROR: you are not inside of a DVC repository\n")
    with pytest.raises(InputError, match="you are not inside"):
        status.stage_states(PROFILE, Paths.of("mini"))


@pytest.mark.parametrize("content", ["{", '{"rows": 3}'])
def test_a_damaged_facts_file_is_named(tmp_path, content):
    paths = write(Paths.of("mini", tmp_path))
    paths.embed_facts.write_text(content)
    with pytest.raises(InputError, match=r"embed.json.*run `python -m pipeline embed"):
        status.stage_states(PROFILE, paths)


def test_the_table_names_state_and_next_command(tmp_path, capsys):
    stages = status.stage_states(PROFILE, write(Paths.of("mini", tmp_path)))
    status.show(stages, by_dvc=False)
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "staleness is not known here" in shown
    assert "next: python -m pipeline format" in shown
