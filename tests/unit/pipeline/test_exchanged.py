"""Artefacts exchanged between two stages for others, as valid: one sentence, with the stage to run again."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from common import seals
from common.errors import InputError
from pipeline.paths import read_inputs
from pipeline.stages.report import check_evaluations
from tests.support.faults.artefacts import Damage, World

MADE_BY = {
    "inputs/dataset/rows.parquet": "inputs",
    "candidates.parquet": "select",
    "embeddings.npy": "embed",
    "embedding_ids.parquet": "embed",
    "clusters.parquet": "cluster",
    "splits/train.parquet": "split",
    "formatted/train.parquet": "format",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.at(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def damages(world: World) -> dict[str, Damage]:
    return {damage.name: damage for damage in world.damages()}


def test_what_nobody_touched_is_read(world: World) -> None:
    for artefact in MADE_BY:
        world.read(artefact)


@pytest.mark.parametrize("artefact", MADE_BY)
def test_an_artefact_in_another_order_is_noticed(world: World, damages: dict[str, Damage], artefact: str) -> None:
    with damages[f"{artefact}: rows reversed"].done(), pytest.raises(InputError) as caught:
        world.read(artefact)
    [fault] = caught.value.faults
    assert f"run `python -m pipeline {MADE_BY[artefact]} " in fault


@pytest.mark.parametrize("artefact", ["inputs.json", "select.json", "embed.json", "cluster.json", "leakage.json"])
def test_an_edited_fact_is_noticed(world: World, damages: dict[str, Damage], artefact: str) -> None:
    edited = next(damages[name] for name in damages if name.startswith(f"{artefact}: ") and " = " in name)
    with edited.done(), pytest.raises(InputError, match=f"{artefact}: not what the stage wrote; run `python -m"):
        world.read(artefact)


def test_a_stage_that_ran_twice_wrote_the_same_facts(world: World) -> None:
    facts = [world.paths.leakage_facts, world.paths.format_facts]
    before = [path.read_bytes() for path in facts]
    world.run("split")
    world.run("format")
    assert [path.read_bytes() for path in facts] == before


@pytest.mark.parametrize("artefact", ["select.json", "embed.json", "cluster.json", "leakage.json", "format.json"])
def test_facts_without_hashes_are_not_believed(world: World, artefact: str) -> None:
    path = world.paths.root / artefact
    whole = path.read_bytes()
    facts = json.loads(whole)
    del facts["files"]
    try:
        path.write_text(json.dumps(facts))
        with pytest.raises(InputError, match=f"{artefact}: holds no hash of itself"):
            world.read("formatted/train.parquet")
    finally:
        path.write_bytes(whole)


FACTS = {
    "inputs.json": "inputs",
    "select.json": "select",
    "embed.json": "embed",
    "cluster.json": "cluster",
    "leakage.json": "split",
    "format.json": "format",
}
STAGES = ("select", "embed", "cluster", "split", "format", "train", "evaluate", "report")


def reads(stage: str, world: World) -> None:
    """Run what `stage` does, as far as it has read its facts."""
    if stage == "train":
        world.read("formatted/train.parquet")
    elif stage == "report":
        check_evaluations(world.paths, [])
    else:
        module = import_module(f"pipeline.stages.{stage}")
        module.run(world.profile, world.paths, *(["base"] if stage == "evaluate" else []))


@pytest.mark.parametrize(
    ("artefact", "stage"),
    [(name, stage) for number, name in enumerate(FACTS) for stage in STAGES[number:]],
)  # fmt: skip
def test_missing_facts_are_named_with_the_stage_that_makes_them(world: World, artefact: str, stage: str) -> None:
    path = world.paths.root / artefact
    whole = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(InputError) as caught:
            reads(stage, world)
    finally:
        path.write_bytes(whole)
    [fault] = caught.value.faults
    assert fault.startswith(f"{path}: ")
    assert f"; run `python -m pipeline {FACTS[artefact]} --artifacts {world.paths.root}`" in fault


@pytest.mark.parametrize(
    ("changed", "stage"), [("inputs/dataset/rows.parquet", "select"), ("inputs/base/tokenizer_config.json", "format")]
)
def test_inputs_made_again_by_hand_are_noticed_by_every_stage_that_follows(
    world: World, changed: str, stage: str
) -> None:
    """`inputs` writes its own facts anew, so that they agree with the new files: the later stages' do not."""
    path, facts = world.paths.root / changed, world.paths.inputs_facts
    before = path.read_bytes(), facts.read_bytes()
    try:
        path.write_bytes(before[0] + b" ")
        content = {key: value for key, value in json.loads(before[1]).items() if key != "files"}
        read = [world.paths.root / name for name in json.loads(before[1])["files"]["read"]]
        facts.write_text(json.dumps(seals.sealed(facts, content, read=read, wrote=())))
        read_inputs(world.paths)
        with pytest.raises(
            InputError, match=f"made from another {changed} than is there now; run `python -m pipeline {stage} "
        ):
            world.read("formatted/train.parquet")
    finally:
        path.write_bytes(before[0])
        facts.write_bytes(before[1])


def test_a_measurement_of_other_test_rows_is_noticed(world: World) -> None:
    read_inputs(world.paths)
    folder = world.paths.evaluation("base")
    folder.mkdir(parents=True)
    written = json.loads(world.paths.format_facts.read_text())["files"]["wrote"]["formatted/test.parquet"]
    facts = folder / "accounting.json"

    items = folder / "items.jsonl"
    items.write_text("{}\n")

    def measured(**hashes: str) -> None:
        facts.write_text(json.dumps({"measured": hashes} | seals.files(facts, read=(), wrote=(items,))))

    measured(test_sha256=written)
    check_evaluations(world.paths, ["base"])
    for other in ({"test_sha256": "0" * 64}, {}):
        measured(**other)
        with pytest.raises(InputError, match=r"base: measured on another formatted/test\.parquet .* --method base"):
            check_evaluations(world.paths, ["base"])
    facts.write_text(json.dumps({"measured": {"test_sha256": written}}))
    with pytest.raises(InputError, match=r"accounting\.json: holds no hash .* evaluate --method base"):
        check_evaluations(world.paths, ["base"])


def test_an_adapters_facts_without_hashes_are_no_ground_for_a_report(world: World) -> None:
    read_inputs(world.paths)
    written = json.loads(world.paths.format_facts.read_text())["files"]["wrote"]["formatted/test.parquet"]
    facts, adapter = world.paths.evaluation("lora") / "accounting.json", world.paths.adapter("lora")
    facts.parent.mkdir(parents=True)
    adapter.mkdir(parents=True, exist_ok=True)
    items, weights = facts.with_name("items.jsonl"), adapter / "weights"
    for path in (items, weights):
        path.write_text("{}\n")
    made = {"measured": {"test_sha256": written}} | seals.files(facts, read=(), wrote=(items,))
    facts.write_text(json.dumps(made))
    run = adapter / "run.json"
    before = run.read_bytes() if run.exists() else None
    try:
        run.write_text(json.dumps({"steps": 3}))
        with pytest.raises(InputError, match=r"run\.json: holds no hash .* train_adapter\.py"):
            check_evaluations(world.paths, ["lora"])
        run.write_text(json.dumps({"steps": 3} | seals.files(run, read=(), wrote=(weights,))))
        check_evaluations(world.paths, ["lora"])
        weights.write_text("other")
        with pytest.raises(InputError, match=r"weights: not the file that run\.json tells of"):
            check_evaluations(world.paths, ["lora"])
    finally:
        run.unlink() if before is None else run.write_bytes(before)


def test_what_inputs_resolved_is_not_named_after_another_base(world: World) -> None:
    """A `--set model.base` after `inputs` would put the wrong name on an adapter or a merged model."""
    facts = world.paths.inputs_facts
    before = facts.read_bytes()
    content = {key: value for key, value in json.loads(before).items() if key != "files"}
    content["base"] |= {"source": "org/A"}
    read = [world.paths.root / name for name in json.loads(before)["files"]["read"]]
    try:
        facts.write_text(json.dumps(seals.sealed(facts, content, read=read, wrote=())))
        assert read_inputs(world.paths, "org/A") == read_inputs(world.paths)
        with pytest.raises(InputError, match=r"model\.base: org/B, but `inputs` resolved org/A; run .* inputs"):
            read_inputs(world.paths, "org/B")
    finally:
        facts.write_bytes(before)
