"""Status: done, stale or missing per stage, with facts, and the next command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import seals
from common.errors import InputError
from common.yaml_text import read_yaml
from pipeline.commands import status
from pipeline.paths import Paths
from pipeline.profile import load_profile
from tests.support.imports import REPOSITORY

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


def states(paths: Paths) -> list[status.StageStatus]:
    return status.stage_states(PROFILE, paths, status.stale_stages(paths, "mini") or {})


def test_facts_of_finished_stages_and_the_next_command(tmp_path):
    paths = write(Paths.of("mini", tmp_path))
    stages = {entry.stage: entry for entry in states(paths)}
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
    names = [entry.stage for entry in states(Paths.of("mini", tmp_path))]
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
    stages = {entry.stage: entry for entry in states(Paths.of("mini"))}
    assert stages["cluster"].state == "stale"
    assert stages["cluster"].reason == "data.clusters, data_prep/cluster/clustering.py"
    assert stages["embed"].reason == "changed command"
    assert stages["select"].state == "done"
    assert status.next_command(stages.values(), by_dvc=True) == "dvc repro"


def test_moved_artefacts_are_not_asked_of_dvc(repository, tmp_path):
    repository["stdout"] = json.dumps({"embed": ["changed command"]})
    paths = write(Paths.of("mini", tmp_path / "elsewhere"))
    assert not status.is_dvc_run(paths, "mini")
    assert all(entry.state != "stale" for entry in states(paths))


def test_a_profile_that_dvc_never_ran_is_not_asked_either(repository):
    assert status.is_dvc_run(Paths.of("mini"), "mini")
    assert not status.is_dvc_run(Paths.of("mini-two"), "mini-two")


def test_a_failing_dvc_is_told_in_its_own_words(repository):
    repository.update(returncode=255, stdout="", stderr="ERROR: you are not inside of a DVC repository\n")
    with pytest.raises(InputError, match="you are not inside"):
        states(Paths.of("mini"))


@pytest.mark.parametrize(
    "words",
    [
        "ERROR: failed to get status: Unable to acquire lock. Most likely another DVC process is running",
        "ERROR: '/a/artifacts/mini/inputs' is busy, it is being blocked by:\n  (PID 3): dvc repro",
    ],
)
def test_during_a_run_the_states_are_shown_and_nothing_is_wrong(repository, capsys, words):
    repository.update(returncode=255, stdout="", stderr=words)
    changed = status.stale_stages(Paths.of("mini"), "mini")
    assert changed is None
    status.show(states(Paths.of("mini")), by_dvc=True, running=True)
    shown = capsys.readouterr().out
    assert "7,200 of 9,000 rows" in shown
    assert "in progress" in shown
    assert "next:" not in shown


@pytest.mark.parametrize("content", ["{", '{"rows": 3}'])
def test_a_damaged_facts_file_is_named(tmp_path, content):
    paths = write(Paths.of("mini", tmp_path))
    paths.embed_facts.write_text(content)
    with pytest.raises(InputError, match=r"embed.json.*run `python -m pipeline embed"):
        states(paths)


def test_the_table_names_state_and_next_command(tmp_path, capsys):
    stages = states(write(Paths.of("mini", tmp_path)))
    status.show(stages, by_dvc=False)
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "only files are compared" in shown
    assert "next: python -m pipeline format" in shown


def test_a_method_that_params_do_not_train_is_not_waited_for(tmp_path, monkeypatch):
    """Else `status` would name `dvc repro` as the next command for ever: kcv-2025 has a method that nothing trains."""
    (tmp_path / "params.yaml").write_text("profile: kcv-2025\nmethods: [lora, pissa]\n")
    profile = load_profile("kcv-2025")
    monkeypatch.chdir(tmp_path)

    def listed():
        return [entry.stage for entry in status.stage_states(profile, Paths.of("kcv-2025"), {}) if "@" in entry.stage]

    assert listed() == ["train@lora", "train@pissa", "evaluate@base", "evaluate@lora", "evaluate@pissa"]
    run = Paths.of("kcv-2025").adapter("loraplus_pissa") / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text(json.dumps({"validation": {"best": {"loss": 1.0}, "first": {"loss": 2.0}}, "steps": 3}))
    assert "train@loraplus_pissa" in listed()


def cut(rows: Path) -> None:
    rows.write_text(rows.read_text()[:-10])


def test_a_cut_rows_file_is_seen_by_status_alone_where_dvc_ran(tmp_path, monkeypatch):
    """A real DVC over the graph's own `inputs`, less its code: what it watches and what it writes."""
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows" / "a.jsonl"
    rows.parent.mkdir()
    rows.write_text('{"input": "Halo?", "output": "Halo!"}\n')
    stage = read_yaml(REPOSITORY / "dvc.yaml")["stages"]["inputs"]
    write(Paths.of("mini", tmp_path / "made"), ["inputs.json"])
    command = "mkdir -p artifacts/mini/inputs && cp made/inputs.json artifacts/mini/"
    watched = [dependency for dependency in stage["deps"] if "$" in dependency]
    graph = {"stages": {"inputs": {"cmd": command, "deps": watched, "outs": stage["outs"]}}}
    (tmp_path / "dvc.yaml").write_text(json.dumps(graph))
    (tmp_path / "params.yaml").write_text("profile: mini\nwatch: rows\n")
    dvc = str(Path(sys.executable).parent / "dvc")
    for words in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([dvc, *words], check=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    paths = Paths.of("mini")
    assert status.is_dvc_run(paths, "mini")
    assert "inputs" not in status.stale_stages(paths, "mini")
    cut(rows)
    stale = {entry.stage: entry for entry in states(paths)}["inputs"]
    assert (stale.state, stale.reason) == ("stale", "rows")


def test_a_cut_rows_file_is_seen_by_status_alone_without_dvc(tmp_path):
    rows, paths = tmp_path / "a.jsonl", write(Paths.of("mini", tmp_path / "made"))
    rows.write_text('{"input": "Halo?", "output": "Halo!"}\n')
    paths.inputs_facts.write_text(
        json.dumps(seals.sealed(paths.inputs_facts, FACTS["inputs.json"], read=[rows], wrote=()))
    )
    assert status.changed_files(paths) == {}
    cut(rows)
    [stale] = [one for one in status.stage_states(PROFILE, paths, status.changed_files(paths)) if one.state == "stale"]
    assert (stale.stage, stale.reason) == ("inputs", str(rows))
