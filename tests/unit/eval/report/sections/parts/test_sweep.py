"""The report's section on a sweep: best rates, ends of the range, steps to reach, and methods without an adapter."""

from __future__ import annotations

from eval.report.labels import labels_of
from eval.report.sections.parts import sweep
from tests.support.report import sweep_facts

EVALUATED = labels_of(["base", "lora"])


def test_best_rates_and_steps_are_said_as_the_sweep_found_them() -> None:
    facts = sweep_facts()
    section = sweep.build(facts, EVALUATED)
    by_method = dict(zip((one.name for one in section.methods), section.sentences[:-1], strict=True))
    assert by_method["lora"].startswith("LoRA is best at 3e-3: 2.3")
    assert "standard deviation over 2 seeds 0.007" in by_method["lora"]  # 0.01 / sqrt(2) between two seeds
    assert "does not reach the final bound of LoRA" in by_method["loraplus"]
    assert f"needs {facts['steps_to_reach']['pissa']} steps to reach" in by_method["pissa"]
    assert "ends −0.200" in by_method["pissa"]  # 2.1 against 2.3
    assert "paired by seed" not in by_method["lora"]
    facts["minus_reference"]["pissa"] = {"difference": -0.2, "low": -0.35, "high": 0.05}
    assert "ends −0.200 [−0.350, +0.050] nats beside it, paired by seed." in " ".join(
        sweep.build(facts, EVALUATED).sentences
    )


def test_every_cell_of_the_sweep_is_in_the_table_and_one_per_method_is_best() -> None:
    rows = sweep.build(sweep_facts(), EVALUATED).rows
    assert len(rows) == 12
    assert [row.rate for row in rows if row.best] == ["3e-3"] * 3


def test_a_best_rate_at_the_end_of_the_range_is_not_called_found() -> None:
    facts = sweep_facts()
    facts["runs"] = [run for run in facts["runs"] if run["learning_rate"] == 3e-3]  # as successive halving leaves them
    facts["best"]["lora"]["rates"] = [3e-4, 1e-3, 3e-3]
    assert sweep.build(facts, EVALUATED).best[1].among.endswith("at an end")
    assert "an end of the range" in sweep.build(facts, EVALUATED).sentences[0]


def test_methods_stand_at_their_best_rates_the_lowest_bound_first() -> None:
    facts = sweep_facts(seeds=(1, 2, 3))
    facts["minus_reference"]["pissa"] |= {"low": -0.21, "high": -0.19, "p_adjusted": 0.004}
    facts["minus_reference"]["loraplus"] |= {"low": -0.06, "high": 0.16, "p_adjusted": 0.3}
    section = sweep.build(facts, EVALUATED)
    assert [row.title for row in section.best] == ["PiSSA", "LoRA", "LoRA+"]
    pissa, lora, loraplus = section.best
    assert (pissa.difference, pissa.p, pissa.told) == ("−0.200 [−0.210, −0.190]", "0.004", "better")
    assert (lora.difference, lora.p, lora.told) == ("–", "–", "–")
    assert loraplus.told == "no"
    assert section.reference == "LoRA"
    assert "3 seeds" in sweep.build(facts, EVALUATED).sentences[0]


def test_more_methods_than_marks_are_ranked_and_the_best_of_them_drawn() -> None:
    facts = sweep_facts()
    names = ["dora", "olora", "eva", "corda", "miss", "hira"]
    for number, name in enumerate(names):
        own = [run | {"method": name} for run in facts["runs"] if run["method"] == "loraplus"]
        facts["runs"] += own
        facts["best"][name] = facts["best"]["loraplus"] | {"bound": 3.0 + number}
        facts["steps_to_reach"][name] = None
    section = sweep.build(facts, EVALUATED)
    assert len(section.best) == 9
    assert [one.name for one in section.methods] == ["lora", "loraplus", "pissa", "dora", "olora", "eva"]
    assert {one.style for one in section.methods} == {f"s{number}" for number in range(6)}
    assert "HiRA" in section.ranked
    assert "HiRA" not in "".join(section.panels)


def test_methods_that_were_not_evaluated_get_marks_of_their_own() -> None:
    section = sweep.build(sweep_facts(seeds=(1,)), EVALUATED)
    assert len({one.style for one in section.methods}) == 3
    assert 'class="mark s1"' in section.panels[0]
    assert "band" not in section.panels[0], "one seed has no spread"


def test_the_uncertainty_of_a_rate_and_the_cost_of_the_search_are_said() -> None:
    facts = sweep_facts()
    facts["best"]["lora"]["rates_alike"] = [1e-3, 3e-3]
    facts["search"] = {"runs": 24, "steps": 4800, "seconds": 660.0}
    sentences = sweep.build(facts, EVALUATED).sentences
    assert "rates from 1e-3 to 3e-3 cannot be told apart" in sentences[0]
    assert sentences[-1] == "The search: 24 runs, 4800 optimizer steps, 11 minutes of training."
