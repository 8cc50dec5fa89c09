"""The full profiles, end to end, against a hub with the published files at toy width: only sizes are cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from pipeline.application import app
from pipeline.commands.train import app as training
from pipeline.paths import SPLITS, Paths, read_inputs
from pipeline.profile import load_profile
from tests.support.hub import published
from tests.support.hub.server import Hub, client_of, running_hub
from tests.support.imports import LONG, REPOSITORY

SMALL = {
    "data.sample_fraction": "0.3",
    "data.clusters": "3",
    "data.per_cluster": "12",
    "data.test_pool": "8",
    "data.test_size": "3",
    "data.max_length": "128",
    "data.umap_sample": "40",
    "train.max_steps": "2",
    "train.validate_every": "2",
    "train.validation_rows": "4",
    "train.global_batch_size": "2",
    "train.micro_batch_size": "2",
    "sampling.gen_length": "8",
    "sampling.block_length": "8",
    "sampling.steps": "4",
    "evaluation.likelihood_samples": "2",
    "evaluation.bootstrap_resamples": "100",
    "evaluation.permutations": "100",
    "evaluation.trace_items": "1",
    "evaluation.eos_overflow": "[8]",
}
STAGES = ("inputs", "select", "embed", "cluster", "split", "format")
METHODS = ("lora", "loraplus", "pissa")


@dataclass(frozen=True)
class Run:
    """A profile that went through every stage."""

    name: str
    paths: Paths
    hub: Hub

    def command(self, *words: str) -> str:
        """Run a command on these artefacts, as a user types it; what it printed."""
        options = [option for key, value in SMALL.items() for option in ("--set", f"{key}={value}")]
        place = ["--profile", self.name, "--artifacts", str(self.paths.root)]
        training_words = words[0] == "train"
        words = words[1:] if training_words else words
        result = CliRunner().invoke(training if training_words else app, [*words, *place, *options])
        assert result.exit_code == 0, f"{words}: {result.output}{result.stderr}{result.exception!r}"
        return result.output


PROFILES = ("llada-8b", "llada-8b-24gb", "kcv-2025", "llada-1.5", "illada-8b", "illada-8b-24gb")


@pytest.fixture(scope="module", params=PROFILES if LONG else PROFILES[:1])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    root = tmp_path_factory.mktemp(request.param)
    base = load_profile(request.param).model.base
    with running_hub(*published.published(base)) as hub, client_of(hub, tmp_path_factory.mktemp("cache")):
        run = Run(request.param, Paths.of(request.param, root), hub)
        for stage in STAGES:
            run.command(stage)
        for method in METHODS:
            run.command("train", "--method", method)
        run.command("evaluate", "--method", ",".join(("base", *METHODS)))
        run.command("report")
        yield run


def test_every_stage_left_what_it_should(finished: Run) -> None:
    rows = {name: pq.read_table(finished.paths.formatted / f"{name}.parquet").num_rows for name in SPLITS}
    assert rows["train"] + rows["validation"] == 36
    assert rows["test"] == 3
    page = (finished.paths.report / "index.html").read_text(encoding="utf-8")
    for system in ("base", *METHODS):
        metrics = json.loads((finished.paths.report / "metrics" / f"{system}.json").read_text(encoding="utf-8"))
        assert metrics["n"] == 3
    assert finished.name in page


def test_what_ran_is_named_by_the_hubs_commits(finished: Run) -> None:
    facts = json.loads(finished.paths.inputs_facts.read_text(encoding="utf-8"))
    base = load_profile(finished.name).model.base
    for key, name in (("base", base), ("encoder", published.ENCODER), ("dataset", published.DATASET)):
        [repository] = [one for (_, known), one in finished.hub.repositories.items() if known == name]
        assert (facts[key]["kind"], facts[key]["revision"]) == ("hub", repository.commit)
    assert len(facts["dataset"]["files"]) == published.DATA_SHARDS


def test_only_what_is_used_was_fetched_and_each_large_file_once(finished: Run) -> None:
    for unused in ("*.py", "*.h5", "*.gitattributes"):
        assert finished.hub.asked(f"* {unused}") == []
    cards = {request.path.split("/resolve/")[0] for request in finished.hub.asked("* *.md")}
    assert cards == {f"/datasets/{published.DATASET}"}  # it says which files are of which split
    stored = [request.path for request in finished.hub.asked("GET /storage/*")]
    wanted = published.BASE_SHARDS + published.DATA_SHARDS + 1  # and the encoder's weights
    assert (len(stored), len(set(stored))) == (wanted, wanted)


def test_it_chats_in_one_answer(finished: Run) -> None:
    assert finished.command("chat", "--method", "lora", "--compare", "base", "--prompt", "Apa kabar?", "--pace", "0")


def tensors_of(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of every tensor in a folder's shards."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as shard:
            views = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118 (not a dict)
            found |= {name: (view.get_dtype(), view.get_shape()) for name, view in views.items()}
    return found


def test_it_merges_into_the_published_tensors(finished: Run, tmp_path: Path) -> None:
    quantised = load_profile(finished.name).model.quantization != "none"
    unquantised = ("--set", "model.quantization=none") if quantised else ()
    finished.command("merge", "--method", "pissa", "--output", str(tmp_path / "merged"), *unquantised)
    merged = tensors_of(tmp_path / "merged")
    assert merged == tensors_of(read_inputs(finished.paths).base)
    assert {kind for kind, _ in merged.values()} == {"BF16"}


def test_a_dry_push_lists_the_adapter_with_the_reports_card(finished: Run) -> None:
    listed = finished.command("push", "--method", "lora", "--repo", "saya/puisi", "--dry-run")
    assert "adapter_model.safetensors" in listed
    assert "README.md" in listed


@pytest.mark.skipif(not LONG, reason="minutes; LONG_TESTS=1 runs it")
def test_dvc_runs_a_full_profile_as_the_readme_says(tmp_path: Path) -> None:
    """`dvc exp run -S profile=llada-8b` in a clone whose profile has these sizes: inputs from the hub to a report."""
    clone, tools = tmp_path / "clone", str(Path(sys.executable).parent)
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    path = clone / "configs" / "llada-8b.yaml"
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in SMALL.items():
        section, name = key.split(".")
        profile[section][name] = yaml.safe_load(value)
    path.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    who = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    commit = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "-am", "small"]
    subprocess.run(commit, cwd=clone, check=True)
    with running_hub(*published.published(profile["model"]["base"])) as hub, client_of(hub, tmp_path / "cache"):
        place = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(clone)}
        run = ["dvc", "exp", "run", "-S", "profile=llada-8b"]
        done = subprocess.run(run, cwd=clone, env=os.environ | who | place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        again = subprocess.run(
            ["dvc", "status"], cwd=clone, env=os.environ | who | place, capture_output=True, text=True
        )
    assert (clone / "reports" / "llada-8b" / "index.html").is_file()
    assert sorted(folder.name for folder in (clone / "artifacts" / "llada-8b" / "adapters").iterdir()) == sorted(
        METHODS
    )
    assert "up to date" in again.stdout
