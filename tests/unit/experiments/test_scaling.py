"""Scaling: each point a normal training of the right size, trained once; its lines and laws."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from experiments.scaling import points, repeated, scale, stored_weights
from experiments.scaling_laws import Record, lines, plot, show, summary
from tests.support.small_world import small_model, small_plan


@pytest.fixture
def study(tmp_path):
    """Plans, a training that writes what a run is recognised by, and what was trained."""
    trained = []

    def train(plan):
        trained.append(plan)
        rows = len(plan.rows)
        parameters = 100 * plan.config.rank
        loss = 0.5 + (rows / 10) ** -0.5 + parameters**-0.3 / plan.train.epochs**0.2 + plan.seed / 1e4
        bound = {"loss": loss, "step": 9}
        plan.output.mkdir(parents=True)
        facts = {
            "method": plan.method_name, "seed": plan.seed, "steps": 9, "settings": plan.settings,
            "tokens_seen": 10 * rows, "trainable_parameters": parameters, "training_seconds": 1.0,
            "validation": {"best": bound, "last": bound}, "data": {"sha256": plan.data},
            "base": {"sha256": plan.base_sha256},
        }  # fmt: skip
        (plan.output / "run.json").write_text(json.dumps(facts))

    return {"lora": small_plan(tmp_path, "lora")}, train, trained, tmp_path / "scale"


def test_points_are_trained_once_and_a_changed_grid_trains_what_is_new(study):
    plans, train, trained, folder = study
    scale(points(plans, [8, 16], [2, 4], [1, 2]), folder, train)
    assert len(trained) == 8
    records = scale(points(plans, [8, 16, 32], [2, 4], [1, 2]), folder, train)
    assert len(trained) == 12
    assert len(records) == 12
    written = json.loads((folder / "scale.json").read_text())
    assert [Record(**one) for one in written["runs"]] == records


def test_smaller_sets_are_parts_of_larger_ones_and_all_validate_on_the_same_rows(study):
    plans, train, trained, folder = study
    scale(points(plans, [8, 16, 32], [2], [1, 2]), folder, train)
    ids = {len(plan.rows): set(plan.rows.ids) for plan in trained}
    assert ids[8] < ids[16] < ids[32] < set(plans["lora"].rows.ids)
    assert {tuple(plan.validation_rows.ids) for plan in trained} == {tuple(plans["lora"].validation_rows.ids)}
    source = pq.read_table(plans["lora"].formatted / "train.parquet")
    assert pq.read_schema(trained[0].formatted / "train.parquet").equals(source.schema)


@pytest.mark.parametrize("method", ["lora", "rslora", "pissa", "miss"])
def test_another_rank_keeps_the_scaling_of_the_update(tmp_path, method):
    plan = small_plan(tmp_path, method)
    for point in points({"any name": plan}, [8], [1, 2, 16], [5]):
        changed = point.plan_in(tmp_path)
        assert changed.config.rank == point.rank
        if plan.method.has_alpha:
            assert changed.method.scaling(changed.config) == pytest.approx(plan.method.scaling(plan.config))
        else:
            assert changed.config.alpha == plan.config.alpha
        assert changed.seed == 5
        assert "any name-rows8" in changed.output.name


def test_compute_counts_frozen_weights_four_times_and_trained_ones_six(study, tmp_path):
    plans, train, _, folder = study
    [record] = scale(points(plans, [8], [2], [1]), folder, train)
    weights = sum(weight.numel() for weight in small_model().parameters())
    assert stored_weights(plans["lora"].base) == weights
    assert record.compute == 80 * (4 * weights + 6 * 200)


def test_more_rows_than_there_are_is_refused_before_anything_is_trained(study):
    plans, train, trained, folder = study
    with pytest.raises(InputError, match="--rows 4000: the training split has 40 rows"):
        scale(points(plans, [8, 4000], [2], [1]), folder, train)
    assert trained == []


def test_each_axis_has_its_lines_and_systems_are_never_mixed(study, capfd):
    plans, train, _, folder = study
    plans |= {"ar-lora": plans["lora"]}
    wanted = points(plans, [8, 12, 16, 24, 32], [2, 4], [1, 2]) + repeated(plans, 8, [2, 4, 8], [1, 2])
    records = scale(wanted, folder, train)
    found = lines(records)
    names = {(system, axis, tuple(fixed.items())) for system, axis, fixed, _ in found}
    for system in ("lora", "ar-lora"):
        assert (system, "rows", (("rank", 2),)) in names
        assert (system, "parameters", (("rows", 32),)) in names
        assert (system, "compute", ()) in names
        rank = plans["lora"].config.rank
        assert (system, "epochs", (("rows", 8), ("rank", rank))) in names
    for system, axis, _, runs in found:
        assert {run.system for run in runs} == {system}
        assert axis == "epochs" or len({run.epochs for run in runs}) == 1
    plot(folder)
    show(folder)
    assert (folder / "scale.png").read_bytes()[:4] == b"\x89PNG"
    assert "too few points" in capfd.readouterr().err


def test_the_law_of_the_rows_is_found_and_led_on():
    made = [
        Record("lora", rows, 8, 1.3, seed, 9, 100, 1.0 * rows, 1.0, 0.4 + (rows / 500) ** -0.5 + noise, 1.0)
        for rows in (500, 1000, 2000, 4000)
        for seed, noise in enumerate(np.random.default_rng(rows).normal(0, 0.005, 3))
    ]
    line = next(one for one in summary(made)["lines"] if one["axis"] == "rows")
    assert line["law"]["exponent_low"] <= 0.5 <= line["law"]["exponent_high"]
    assert line["beyond"]["x"] == 16000
    assert line["beyond"]["low"] <= 0.4 + 32**-0.5 <= line["beyond"]["high"]
    assert [point["seeds"] for point in line["points"]] == [3, 3, 3, 3]
    assert json.loads(json.dumps(line)) == line


def test_a_rank_that_one_method_cannot_take_is_said_before_anything_is_trained(study, tmp_path):
    _, train, trained, folder = study
    plans = {"lora": small_plan(tmp_path, "lora"), "gralora": small_plan(tmp_path, "gralora")}
    with pytest.raises(InputError, match=r"methods\.gralora\.rank: 3 is no multiple of methods\.gralora\.blocks: 2"):
        scale(points(plans, [8], [2, 3], [1]), folder, train)
    assert not trained
