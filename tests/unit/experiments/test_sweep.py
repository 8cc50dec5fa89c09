"""The sweep: every run once, only what is missing is trained, each method at its own best rate."""

import json

import pytest
import scipy.stats

from common.errors import InputError
from experiments.sweep import halved_steps, sweep, with_equal_parameters
from experiments.sweep_summary import SweepRecord, best_rates, minus_reference, show, steps_to_reach
from tests.support.small_world import small_plan
from training.memory.estimate import count


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
            "steps": plan.total_steps,
            "training_seconds": 2.0,
            "trainable_parameters": 64,
            "settings": plan.settings,
            "validation": {"best": bound, "last": bound},
            "data": {"sha256": plan.data},
            "base": {"sha256": plan.base_sha256},
        }
        (plan.output / "run.json").write_text(json.dumps(facts))
        curve = [f"{step},,{loss + 1 - step / 9}" for step in (0, 3, 6, 9)]
        (plan.output / "curve.csv").write_text("\n".join(["step,train_loss,validation_loss", "1,5.0,", *curve]))

    def run(methods, rates, seeds, **how):
        plans = [small_plan(tmp_path, method) for method in methods]
        return sweep(plans, rates, seeds, tmp_path / "sweep", train, **how)

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


def record(method, rate=1e-3, seed=1, bound=None, curve=(), steps=9):
    last = {"loss": curve[-1][1] if bound is None else bound}
    return SweepRecord(method, rate, seed, steps=steps, best=last, last=last, curve=curve)


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
    alone = scipy.stats.ttest_rel(finals["pissa"], finals["lora"]).pvalue
    assert compared["pissa"]["p_adjusted"] == pytest.approx(alone)  # the larger of the two: Holm leaves it
    assert minus_reference([one for one in records if one.seed == 0], "lora")["pissa"]["low"] is None


def test_finished_runs_are_not_trained_again_and_new_ones_are(sweep_of):
    run, trained, _ = sweep_of
    run(["lora"], [1e-3], [1])
    run(["lora"], [1e-3, 2e-3], [1])
    assert trained == [("lora", 1e-3, 1), ("lora", 2e-3, 1)]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", lambda text: json.dumps(json.loads(text) | {"validation": []})),
        ("run.json", lambda text: json.dumps(json.loads(text) | {"steps": None})),
        ("run.json", lambda text: text.replace('"step": 9', '"step": "nine"')),
        ("curve.csv", lambda text: "a,b\n1,2\n"),
        ("curve.csv", lambda text: text.replace("0,,", "zero,,")),
    ],
)
def test_a_finished_run_whose_files_were_spoilt_is_one_sentence(sweep_of, name, change):
    run, _, folder = sweep_of
    run(["lora"], [1e-3], [1])
    path = next(folder.glob("lora-*")) / name
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match="are not what a training writes; delete the folder and sweep again"):
        run(["lora"], [1e-3], [1])


def test_an_unknown_method_is_refused_before_anything_is_trained(sweep_of):
    run, trained, _ = sweep_of
    with pytest.raises(InputError, match="lroa"):
        run(["lora", "lroa"], [1e-3], [1])
    assert trained == []


def test_a_rate_that_one_method_cannot_take_is_said_before_anything_is_trained(sweep_of):
    run, trained, _ = sweep_of
    with pytest.raises(InputError, match=r"methods\.loraplus\.learning_rate: 1e\+38 times ratio 16\.0 overflows"):
        run(["lora", "loraplus"], [1e-3, 1e38], [1])
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


def test_halving_trains_one_rate_of_each_method_in_full(sweep_of):
    run, trained, folder = sweep_of
    whole = small_plan(folder.parent, "lora").total_steps  # 10
    records = run(["lora", "pissa"], [5e-4, 1e-3, 2e-3, 4e-3], [1, 2], halving=True)
    assert {(one.method, one.learning_rate, one.steps) for one in records} == {
        ("lora", 2e-3, whole),
        ("pissa", 1e-3, whole),
    }
    assert len(trained) == 2 * 2 * (4 + 2 + 1)
    written = json.loads((folder / "sweep.json").read_text())
    assert {(one["steps"], one["method"]) for one in written["shortened"]} == {
        (steps, method) for steps in (whole // 4, whole // 2) for method in ("lora", "pissa")
    }
    halved = {one["learning_rate"] for one in written["shortened"] if one["steps"] == whole // 2}
    assert halved == {5e-4, 1e-3, 2e-3}  # lora keeps 1e-3 and 2e-3, pissa 5e-4 and 1e-3
    steps = 2 * 2 * (4 * (whole // 4) + 2 * (whole // 2) + whole)
    assert written["search"] == {"runs": 28, "steps": steps, "seconds": 56.0}
    run(["lora", "pissa"], [5e-4, 1e-3, 2e-3, 4e-3], [1, 2], halving=True)
    assert len(trained) == 28  # nothing twice


def test_the_rate_is_chosen_on_other_seeds_than_those_that_are_compared(sweep_of):
    run, trained, _ = sweep_of
    records = run(["lora", "pissa"], [1e-3, 2e-3], [2, 3, 4], halving=True, search_seeds=[1])
    assert {(one.method, one.learning_rate, one.seed) for one in records} == {
        (method, rate, seed) for method, rate in (("lora", 2e-3), ("pissa", 1e-3)) for seed in (2, 3, 4)
    }
    assert sorted(trained[:4]) == [(method, rate, 1) for method in ("lora", "pissa") for rate in (1e-3, 2e-3)]


def test_halvings_bring_the_rates_down_to_one():
    assert [halved_steps(1000, rates) for rates in (1, 2, 3, 4, 5)] == [
        [], [500], [250, 500], [250, 500], [125, 250, 500]
    ]  # fmt: skip
    for rates in range(1, 20):
        left = rates
        for _ in halved_steps(1000, rates):
            left = (left + 1) // 2
        assert left == 1


def test_workers_share_the_runs_and_the_last_call_reads_them(sweep_of):
    run, trained, folder = sweep_of
    shares = [run(["lora", "pissa"], [1e-3, 2e-3], [1, 2, 3], worker=(number, 5)) for number in range(5)]
    assert sorted(len(share) for share in shares) == [2, 2, 2, 3, 3]
    assert len(trained) == len(set(trained)) == 12
    assert not (folder / "sweep.json").exists()
    assert len(run(["lora", "pissa"], [1e-3, 2e-3], [1, 2, 3])) == 12
    assert len(trained) == 12
    with pytest.raises(InputError, match="halving compares all runs of a rung"):
        run(["lora"], [1e-3, 2e-3], [1], worker=(0, 2), halving=True)


def test_rates_that_cannot_be_told_from_the_best_are_named():
    noise = {1: 0.0, 2: 0.05, 3: -0.05}
    records = [record("lora", 1e-3, seed, 1.0 + noise[seed]) for seed in noise]
    records += [record("lora", 2e-3, seed, 1.01 + 0.5 * noise[seed]) for seed in noise]  # overlaps, paired
    records += [record("lora", 4e-3, seed, 1.5 + noise[seed]) for seed in noise]
    assert best_rates(records)["lora"]["rates_alike"] == [1e-3, 2e-3]
    alone = [one for one in records if one.seed == 1]
    assert best_rates(alone)["lora"]["rates_alike"] == [1e-3, 2e-3, 4e-3]  # one seed tells nothing


def test_rates_that_halving_left_behind_are_compared_at_equal_lengths():
    """2e-3 is told from the best one after half of the steps, 4e-3 is not; 8e-3, left behind earlier, is."""
    noise = {1: 0.0, 2: 0.05, 3: -0.05}
    short = [record("lora", rate, seed, 2.0 + apart + noise[seed] * factor, steps=2)
             for rate, apart, factor in ((1e-3, 0, 1), (2e-3, 0.3, 1.1), (4e-3, 0.01, 0.5), (8e-3, 0.6, 1.2))
             for seed in noise]  # fmt: skip
    half = [record("lora", rate, seed, 1.5 + apart + noise[seed] * factor, steps=4)
            for rate, apart, factor in ((1e-3, 0, 1), (4e-3, 0.01, 0.5)) for seed in noise]  # fmt: skip
    whole = [record("lora", 1e-3, seed, 1.0 + noise[seed]) for seed in noise]
    best = best_rates(whole, [*short, *half])["lora"]
    assert best["rates"] == [1e-3, 2e-3, 4e-3, 8e-3]
    assert (best["rates_alike"], best["seeds_of_rates"]) == ([1e-3, 4e-3], 3)
    best = best_rates([record("lora", 1e-3, seed, 1.0 + noise[seed]) for seed in (2, 3)],
                      [one for one in short if one.seed == 1])["lora"]  # fmt: skip
    assert best["seeds_of_rates"] == 1  # though two seeds are compared with other methods


@pytest.mark.parametrize("method", ["dora", "miss", "gralora", "rslora", "pissa"])
def test_equal_parameters_are_as_near_as_ranks_come(tmp_path, method):
    first = small_plan(tmp_path, "lora", config={"rank": 8})
    other = small_plan(tmp_path, method, config={"rank": 8, "alpha": None if method == "miss" else 16})
    _, equal = with_equal_parameters([first, other])
    shape = first.shape()

    def trainable(plan, rank):
        return count(shape, plan.method, plan.config.model_copy(update={"rank": rank})).trainable

    target, step = trainable(first, 8), 2 if method == "gralora" else 1
    distances = {rank: abs(trainable(other, rank) - target) for rank in range(step, 25, step)}
    assert distances[equal.config.rank] == min(distances.values())
    assert equal.method.scaling(equal.config) == pytest.approx(other.method.scaling(other.config))
