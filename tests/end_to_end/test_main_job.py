"""The whole pipeline, in one process and in small: rows to a report on three adapters, every stage by its own code."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nbformat
import pyarrow.parquet as pq
import pytest
import torch
from nbclient import NotebookClient

from pipeline.paths import SPLITS, Paths, read_inputs
from pipeline.profile import Profile, load_profile
from pipeline.stages import cluster, embed, evaluate, inputs, report, select, split, train
from pipeline.stages import format as format_stage
from tests.support.imports import REPOSITORY

METHODS = ("lora", "loraplus", "pissa")
SMALL = (
    "data.embedded.rows=1500",
    "data.embedded.vocabulary=1024",
    "data.embedded.encoder=fresh",
    "data.embedded.encoder_steps=2",
    "data.embedded.encoder_width=32",
    "data.embedded.base_steps=5",
    "data.embedded.base_width=64",
    "data.embedded.base_heads=2",
    "data.embedded.base_layers=2",
    "data.embedded.base_mlp_width=96",
    "data.clusters=3",
    "data.per_cluster=100",
    "data.test_pool=40",
    "data.test_size=12",
    "data.umap_sample=100",
    "train.max_steps=3",
    "train.validate_every=3",
    "train.validation_rows=8",
    "sampling.gen_length=16",
    "sampling.block_length=16",
    "sampling.steps=8",
    "evaluation.likelihood_samples=2",
    "evaluation.bootstrap_resamples=100",
    "evaluation.permutations=100",
    "evaluation.trace_items=1",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Profile, Paths]:
    """Every stage, run in order."""
    profile = load_profile("mini", SMALL)
    paths = Paths.of(profile.name, tmp_path_factory.mktemp("artefacts"))
    for stage in (inputs, select, embed, cluster, split, format_stage):
        stage.run(profile, paths)
    for method in METHODS:
        train.run(profile, paths, method)
    for system in ("base", *METHODS):
        evaluate.run(profile, paths, system)
    report.run(profile, paths)
    return profile, paths


def test_the_splits_have_exactly_the_sizes_asked_for(finished: tuple[Profile, Paths]) -> None:
    _, paths = finished
    rows = {name: pq.read_table(paths.formatted / f"{name}.parquet") for name in SPLITS}
    assert len(rows["train"]) + len(rows["validation"]) == 300
    assert len(rows["test"]) == 12
    columns = [
        "id",
        "subset_name",
        "template_name",
        "cluster",
        "prompt",
        "answer",
        "input_ids",
        "prompt_length",
        "truncated",
        "ended",
    ]
    assert rows["test"].column_names == columns


def test_no_content_is_on_both_sides(finished: tuple[Profile, Paths]) -> None:
    _, paths = finished
    pairs = {
        name: {(row["prompt"], row["answer"]) for row in pq.read_table(paths.formatted / f"{name}.parquet").to_pylist()}
        for name in SPLITS
    }
    assert not pairs["test"] & (pairs["train"] | pairs["validation"])
    assert not pairs["validation"] & pairs["train"]


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_loads_with_us_and_with_peft_alone_and_says_the_same(
    finished: tuple[Profile, Paths], method: str
) -> None:
    from peft import PeftModel

    from adapters import load_adapter
    from llada.network.modeling import LLaDAModelLM

    _, paths = finished
    base = read_inputs(paths).base
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        plain = LLaDAModelLM.from_pretrained(base, dtype=torch.float32).eval()
        untouched = plain(ids).logits.clone()
        ours = load_adapter(plain, paths.adapter(method) / "last").eval()(ids).logits
        theirs = (
            PeftModel.from_pretrained(
                LLaDAModelLM.from_pretrained(base, dtype=torch.float32).eval(), str(paths.adapter(method) / "last")
            )
            .eval()(ids)
            .logits
        )
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert not torch.allclose(ours, untouched, atol=1e-6)


def test_the_report_is_one_self_contained_page_about_every_system(finished: tuple[Profile, Paths]) -> None:
    _, paths = finished
    page = (paths.report / "index.html").read_text(encoding="utf-8")
    assert 'src="http' not in page
    assert '<link rel="stylesheet" href="http' not in page
    for system in ("base", *METHODS):
        metrics = json.loads((paths.report / "metrics" / f"{system}.json").read_text(encoding="utf-8"))
        assert metrics["n"] == 12


def test_evaluating_twice_gives_the_same_bytes(finished: tuple[Profile, Paths], tmp_path: Path) -> None:
    profile, paths = finished
    before = (paths.evaluation("lora") / "metrics.json").read_bytes()
    evaluate.run(profile, paths, "lora")
    assert (paths.evaluation("lora") / "metrics.json").read_bytes() == before


DATA = ("inputs.json", "inputs", "candidates.parquet", "select.json", "embeddings.npy", "embedding_ids.parquet",
        "embed.json", "clusters.parquet", "centroids.npy", "umap.png", "umap.parquet", "cluster.json", "splits",
        "leakage.json")  # fmt: skip


def test_the_notebook_runs_from_top_to_bottom(
    finished: tuple[Profile, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the small model in both halves, on rows that the stages have already split; a cell that fails raises.

    The second half works in the first one's folder, as in a new session: it goes on with what is there.
    """
    _, paths = finished
    work = tmp_path / "work" / "mini"
    work.mkdir(parents=True)
    for name in DATA:
        place = paths.root / name
        (shutil.copytree if place.is_dir() else shutil.copyfile)(place, work / name)
    variables = {"PROFILE": "mini", "WORK": str(work.parent), "STORAGE": str(tmp_path / "kept")}
    less = [*SMALL, "train.checkpoint_every=1", "evaluation.likelihood_samples=2", "data.test_size=12"]
    for name, value in (variables | {"SET": " ".join(less)}).items():
        monkeypatch.setenv(f"NOTEBOOK_{name}", value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(REPOSITORY / "notebooks" / "llada_indonesia.ipynb", as_version=4)
    place = {"metadata": {"path": str(REPOSITORY / "notebooks")}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [data for output in outputs for data in output.get("data", {})]
    assert shown.count("image/png") == 4  # two losses, two answers being written
    assert shown.count("text/html") == 2
    assert (work / "merged" / "lora" / "config.json").is_file()
    weights = Path("adapters", "lora", "adapter_model.safetensors")
    assert (tmp_path / "kept" / "mini" / weights).read_bytes() == (work / weights).read_bytes()
    said = "".join(output.get("text", "") for output in outputs)
    assert "adapter_model.safetensors" in said  # of what push would upload
    for command, times in (("select", 0), ("inputs", 0), ("format", 1), ("evaluate", 1), ("merge", 1), ("push", 1)):
        assert said.count(f"$ python -m pipeline {command} ") == times
    assert said.count("$ python train_adapter.py ") == 1
