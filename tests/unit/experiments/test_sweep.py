"""The sweep: every run once, only what is missing is trained, each method at its own best rate."""

import json

import pytest
import scipy.stats

from common.errors import InputError
from experiments.sweep import sweep
from experiments.sweep_summary import SweepRecord, minus_reference, show, steps_to_reach
from tests.support.small_world import small_plan


def bound_at(plan):
    """Stands in for what a training reaches: a parabola in the rate, with another optimum for each method."""
    optimum = {"lora": 2e-3, "pissa": 1e-3}[plan.method_name]
    return 1 + abs(plan.config.learning_rate - optimum) * 100 + plan.seed / 1000


@pytest.fixture
def sweep_of(tmp_path):
    """A sweep whose training writes what a run is recognised by, and the runs that were trained."""
    trained = []

    def train(plan):
        trained.append((plan.method_name, plan.config.learning_rate, plan.seed))
        loss = bound_at(plan)
        bound = {"loss": loss, "low": 0.0, "high": 9.0, "step": 9}
        plan.output.mkdir(parents=True)
        facts = {
            "method": plan.method_name,
            "seed": plan.seed,
            "steps": 9,
            "settings": plan.settings,
            "validation": {"best": bound, "last": bound},
            "data": {"sha256": plan.data},
            "base": {"sha256": plan.base_sha256},
        }
        (plan.output / "run.json").write_text(json.dumps(facts))
        curve = [f"{step},,{loss + 1 - step / 9}" for step in (0, 3, 6, 9)]
        (plan.output / "curve.csv").write_text("\n".join(["step,train_loss,validation_loss", "1,5.0,", *curve]))

    def run(methods, rates, seeds):
        return sweep([small_plan(tmp_path, method) for method in methods], rates, seeds, tmp_path / "sweep", train)

    return run, trained, tmp_path / "sweep"


def test_each_method_is_judged_at_its_own_best_rate(sweep_of):
    run, trained, folder = sweep_of
    records = run(["lora", "pissa"], [1e-3, 2e-3, 3e-3], [1, 2])
    assert len(records) == len(trained) == len(set(trained)) == 12
    written = json.loads((folder / "sweep.json").read_text())
    assert [SweepRecord(**one).final_bound for one in written["runs"]] == [record.final_bound for record in records]
    assert {method: best["learning_rate"] for method, best in written["best"].items()} == {"lora": 2e-3, "pissa": 1e-3}
    assert written["best"]["lora"]["bound"] == pytest.approx(1.0015)
    assert (folder / "sweep.png").stat().st_size > 0


def record(method, rate=1e-3, seed=1, bound=None, curve=()):
    last = {"loss": curve[-1][1] if bound is None else bound}
    return SweepRecord(method, rate, seed, steps=9, best=last, last=last, curve=curve)


def test_methods_are_compared_at_their_best_rates_paired_by_seed():
    """Against scipy's paired t test; the third method shares no spread with the first."""
    finals = {"lora": [3.6, 3.9, 3.4], "pissa": [3.7, 3.95, 3.52], "dora": [3.5, 3.8, 3.3]}
    records = [
        record(method, rate, seed, loss + (rate != 1e-3))
        for method, losses in finals.items()
        for seed, loss in enumerate(losses)
        for rate in (1e-3, 2e-3)
    ]
    compared = minus_reference(records, "lora")
    expected = scipy.stats.ttest_rel(finals["pissa"], finals["lora"]).confidence_interval(0.95)
    assert compared.keys() == {"pissa", "dora"}
    assert compared["pissa"]["difference"] == pytest.approx(0.09)
    assert (compared["pissa"]["low"], compared["pissa"]["high"]) == pytest.approx((expected.low, expected.high))
    assert compared["dora"]["difference"] == pytest.approx(-0.1)
    assert minus_reference([one for one in records if one.seed == 0], "lora")["pissa"]["low"] is None


def test_finished_runs_are_not_trained_again_and_new_ones_are(sweep_of):
    run, trained, _ = sweep_of
    run(["lora"], [1e-3], [1])
    run(["lora"], [1e-3, 2e-3], [1])
    assert trained == [("lora", 1e-3, 1), ("lora", 2e-3, 1)]


def test_an_unknown_method_is_refused_before_anything_is_trained(sweep_of):
    run, trained, _ = sweep_of
    with pytest.raises(InputError, match="lroa"):
        run(["lora", "lroa"], [1e-3], [1])
    assert trained == []


def test_steps_to_reach_is_the_first_validation_at_most_the_references_final_bound(sweep_of):
    run, _, folder = sweep_of
    run(["lora", "pissa"], [1e-3, 2e-3], [1, 2])
    written = json.loads((folder / "sweep.json").read_text())
    # Both end at 1.0015 at their best rate, and every curve falls by a third of a nat per validation to its end.
    assert written["steps_to_reach"] == {"lora": 9, "pissa": 9}

    fast = record("pissa", curve=[(0, 3.0), (3, 1.9), (6, 1.5)])
    slow = record("dora", curve=[(0, 3.0), (3, 2.9), (6, 2.5)])
    reference = record("lora", curve=[(0, 3.0), (3, 2.5), (6, 2.0)])
    assert steps_to_reach([reference, fast, slow], "lora") == {"lora": 6, "pissa": 3, "dora": None}


def test_what_came_out_is_printed(sweep_of, capfd):
    run, _, folder = sweep_of
    run(["lora", "pissa"], [1e-3, 2e-3], [1])
    show(folder)
    printed = capfd.readouterr().err
    assert "2.00e-03" in printed
    assert "pissa at its best rate, against the final bound of lora: reaches it after 9 steps" in printed
