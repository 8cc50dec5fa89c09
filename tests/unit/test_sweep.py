"""The sweep: every cell once, only what is missing is trained, each method at its own best rate."""

import json

import pytest
from small_world import training_arguments

from adapters.config import MethodConfig
from adapters.fingerprint import data_hashes, run_settings
from adapters.sweep import sweep
from common.errors import InputError


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
