"""The sweep: every cell once, only what is missing is trained, each method at its own best rate."""

import json

import pytest
import scipy.stats

from adapters.config import MethodConfig
from common.errors import InputError
from experiments.sweep import minus_reference, show, steps_to_reach, sweep
from tests.support.small_world import training_arguments
from training.fingerprint import data_hashes, run_settings


@pytest.fixture
def world(tmp_path):
    arguments = training_arguments(tmp_path)
    for key in ("config", "output", "seed"):
        arguments.pop(key)
    calls = []

    def run(method, *, config, output, seed, **others):
        """Stands in for the training: the bound is a parabola in the rate, with another optimum for each method."""
        calls.append((method, config.learning_rate, seed))
        optimum = {"lora": 2e-3, "pissa": 1e-3}[method]
        loss = 1 + abs(config.learning_rate - optimum) * 100 + seed / 1000
        bound = {"loss": loss, "low": 0.0, "high": 9.0, "step": 9}
        output.mkdir(parents=True)
        facts = {
            "method": method,
            "seed": seed,
            "steps": 9,
            "settings": run_settings(others["model"], others["train"], config),
            "validation": {"best": bound, "last": bound},
            "data": {"sha256": data_hashes(others["formatted"])},
            "base": {"sha256": others["base_sha256"]},
        }
        (output / "run.json").write_text(json.dumps(facts))
        curve = [f"{step},,{loss + 1 - step / 9}" for step in (0, 3, 6, 9)]
        (output / "curve.csv").write_text("\n".join(["step,train_loss,validation_loss", "1,5.0,", *curve]))

    configs = {"lora": MethodConfig(rank=4), "pissa": MethodConfig(rank=4)}
    options = {"configs": configs, "arguments": arguments, "output": tmp_path / "sweep", "run": run}
    return options, calls


def test_each_method_is_judged_at_its_own_best_rate(world):
    options, calls = world
    records = sweep(["lora", "pissa"], [1e-3, 2e-3, 3e-3], [1, 2], **options)
    assert len(records) == len(calls) == len(set(calls)) == 12
    written = json.loads((options["output"] / "sweep.json").read_text())
    assert written["runs"] == records
    assert {method: best["learning_rate"] for method, best in written["best"].items()} == {"lora": 2e-3, "pissa": 1e-3}
    assert written["best"]["lora"]["bound"] == pytest.approx(1.0015)
    assert (options["output"] / "sweep.png").stat().st_size > 0


def test_methods_are_compared_at_their_best_rates_paired_by_seed():
    """Against scipy's paired t test; the third method shares no spread with the first."""
    finals = {"lora": [3.6, 3.9, 3.4], "pissa": [3.7, 3.95, 3.52], "dora": [3.5, 3.8, 3.3]}
    records = [
        {"method": method, "learning_rate": rate, "seed": seed, "last": {"loss": loss + (rate != 1e-3)}, "curve": []}
        for method, losses in finals.items()
        for seed, loss in enumerate(losses)
        for rate in (1e-3, 2e-3)
    ]
    found = minus_reference(records, "lora")
    expected = scipy.stats.ttest_rel(finals["pissa"], finals["lora"]).confidence_interval(0.95)
    assert found.keys() == {"pissa", "dora"}
    assert found["pissa"]["difference"] == pytest.approx(0.09)
    assert (found["pissa"]["low"], found["pissa"]["high"]) == pytest.approx((expected.low, expected.high))
    assert found["dora"]["difference"] == pytest.approx(-0.1)
    assert minus_reference([one for one in records if one["seed"] == 0], "lora")["pissa"]["low"] is None


def test_finished_runs_are_not_trained_again_and_new_ones_are(world):
    options, calls = world
    sweep(["lora"], [1e-3], [1], **options)
    sweep(["lora"], [1e-3, 2e-3], [1], **options)
    assert calls == [("lora", 1e-3, 1), ("lora", 2e-3, 1)]


def test_an_unknown_method_is_refused_before_anything_is_trained(world):
    options, calls = world
    with pytest.raises(InputError, match="lroa"):
        sweep(["lora", "lroa"], [1e-3], [1], **options)
    assert calls == []


def test_steps_to_reach_is_the_first_validation_at_most_the_references_final_bound(world):
    options, _ = world
    sweep(["lora", "pissa"], [1e-3, 2e-3], [1, 2], **options)
    written = json.loads((options["output"] / "sweep.json").read_text())
    # Both end at 1.0015 at their best rate, and every curve falls by a third of a nat per validation to its end.
    assert written["steps_to_reach"] == {"lora": 9, "pissa": 9}

    def record(method, curve):
        last = {"loss": curve[-1][1]}
        return {"method": method, "learning_rate": 1e-3, "seed": 1, "last": last, "curve": curve}

    fast = record("pissa", [(0, 3.0), (3, 1.9), (6, 1.5)])
    slow = record("dora", [(0, 3.0), (3, 2.9), (6, 2.5)])
    reference = record("lora", [(0, 3.0), (3, 2.5), (6, 2.0)])
    assert steps_to_reach([reference, fast, slow], "lora") == {"lora": 6, "pissa": 3, "dora": None}


def test_what_came_out_is_printed(world, capfd):
    options, _ = world
    sweep(["lora", "pissa"], [1e-3, 2e-3], [1], **options)
    show(options["output"])
    printed = capfd.readouterr().err
    assert "2.00e-03" in printed
    assert "pissa at its best rate, against the final bound of lora: reaches it after 9 steps" in printed
