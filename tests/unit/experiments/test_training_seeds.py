"""Several training seeds of a method: named, trained and evaluated once each, and one system in the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from adapters.naming import AdapterName
from common.errors import InputError
from common.files import read_json_lines, write_json
from eval.measure.evaluate import measured_hashes
from eval.metrics.scoring import SCHEMA_VERSION
from eval.report.labels import labels_of
from eval.report.load import System, read_systems
from eval.report.sections.parts import seeds as seeds_section
from eval.report.verdict import TRAINED_ONCE, better, compare_all, sentence, verdict
from pipeline.commands.seeds import adapters_of, train_and_evaluate
from pipeline.paths import Paths
from pipeline.profile import Profile, load_profile
from pipeline.stages.evaluate import measurement_of
from tests.support.chain import write_inputs
from tests.support.report import (
    EVALUATION,
    Planted,
    faithful,
    items,
    soup,
    write_adapter,
    write_evaluation,
    write_planted_report,
)
from tests.support.small_world import write_formatted

PLANTED = (
    Planted("base", soup, 5.6),
    Planted("lora", faithful(0.6), 3.0),
    Planted("pissa", faithful(0.6), 3.3),
    Planted("lora-seed2", faithful(0.6), 3.5),
    Planted("lora-seed3", faithful(0.6), 2.9),
    Planted("pissa-seed2", faithful(0.6), 2.9),
    Planted("pissa-seed3", faithful(0.6), 3.1),
)


def read(root: Path, *systems: Planted) -> list[System]:
    """The systems of made-up artefacts, which are written where they are not there yet."""
    rows = items(60)
    for planted in systems:
        if not (root / "evaluation" / planted.name).exists():
            write_evaluation(root / "evaluation" / planted.name, planted, rows)
            write_adapter(root / "adapters" / planted.name, planted)
    names = [planted.name for planted in systems]
    return read_systems(
        {name: root / "evaluation" / name for name in names},
        {name: root / "adapters" / name for name in names if name != "base"},
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def systems(root: Path) -> list[System]:
    return read(root, *PLANTED)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lora", AdapterName("lora")),
        ("lora-seed2", AdapterName("lora", 2)),
        ("loraplus_pissa-seed0", AdapterName("loraplus_pissa", 0)),
        ("lora-seed02", AdapterName("lora-seed02")),
        ("lora-seed", AdapterName("lora-seed")),
    ],
)
def test_a_name_is_a_method_and_perhaps_a_seed(name: str, parts: AdapterName) -> None:
    assert AdapterName.parse(name) == parts
    assert str(parts) == name


def test_a_profile_knows_its_methods_under_every_seed_but_its_own() -> None:
    profile = load_profile("mini")
    assert profile.method("lora-seed2") == profile.method("lora")
    with pytest.raises(InputError, match="42 is the profile's own seed; write lora"):
        profile.method("lora-seed42")
    with pytest.raises(InputError, match="'lora-seed02' is not a method"):
        profile.method("lora-seed02")


def test_trainings_of_one_method_are_one_system(systems: list[System]) -> None:
    assert [system.name for system in systems] == ["base", "lora", "pissa"]
    assert list(systems[1].trainings) == [7, 2, 3]  # 7 is the seed of the planted evaluations
    assert [one.title for one in systems[1].trainings.values()] == ["LoRA", "LoRA, seed 2", "LoRA, seed 3"]


def test_scores_are_over_the_answers_of_all_trainings(root: Path, systems: list[System]) -> None:
    rows = [
        row
        for name in ("lora", "lora-seed2", "lora-seed3")
        for row in read_json_lines(root / "evaluation" / name / "items.jsonl")
    ]
    corpus = sacrebleu.corpus_chrf([row["answer"] for row in rows], [[row["reference"] for row in rows]], word_order=2)
    scores = systems[1].scores
    assert scores["chrf"]["value"] == pytest.approx(corpus.score, abs=1e-6)
    nats = sum(row["bound_nats"] for row in rows)
    assert scores["bound_per_token"]["value"] == pytest.approx(nats / sum(row["answer_tokens"] for row in rows))
    own = [one.metrics["metrics"]["distinct2"]["value"] for one in systems[1].trainings.values()]
    assert scores["distinct2"] == {"value": pytest.approx(np.mean(own)), "low": None, "high": None, "n": 60}


def test_the_interval_of_the_method_is_wider_than_that_of_one_of_its_adapters(systems: list[System]) -> None:
    def width(entry: dict[str, float]) -> float:
        return entry["high"] - entry["low"]

    for key in ("bound_per_token", "bits_per_byte"):
        assert width(systems[1].scores[key]) > 2 * width(systems[1].metrics["metrics"][key])


def test_what_one_seed_calls_a_difference_several_may_not(root: Path, systems: list[System]) -> None:
    def bound(compared: list[System]):
        found = compare_all(compared, EVALUATION, 7)
        return next(one for one in found if (one.first, one.second, one.metric) == ("lora", "pissa", "bound_per_token"))

    assert better(bound(read(root, *PLANTED[:3]))) == "lora"  # by 0.3 nats, on every item
    pooled = bound(systems)
    assert better(pooled) is None
    assert pooled.seeds == 3
    assert "n = 60 items and 3 training seeds" in sentence(pooled)
    assert "LoRA and PiSSA cannot be told apart" in sentence(pooled)


def test_a_gain_at_every_seed_is_found(systems: list[System]) -> None:
    found = compare_all(systems, EVALUATION, 7)
    against = {one.second: better(one) for one in found if one.first == "base" and one.metric == "bound_per_token"}
    assert against == {"lora": "lora", "pissa": "pissa"}


def test_one_seed_in_common_is_compared_as_if_there_were_no_others(root: Path) -> None:
    plain = compare_all(read(root, *PLANTED[1:3]), EVALUATION, 7)
    assert compare_all(read(root, *PLANTED[1:5]), EVALUATION, 7) == plain


def test_a_collapsed_seed_is_named_and_its_method_is_not_the_best(tmp_path: Path) -> None:
    broken = (Planted("base", soup, 5.6), Planted("lora", faithful(0.9), 2.0), Planted("pissa", faithful(0.6), 3.0))
    found = read(tmp_path, *broken, Planted("lora-seed2", soup, 2.0), Planted("pissa-seed2", faithful(0.6), 3.0))
    told = verdict(found, compare_all(found, EVALUATION, 7))
    assert any(flag.text.startswith("LoRA, seed 2, has collapsed") for flag in told.flags)
    assert not any("LoRA, seed 7" in flag.text for flag in told.flags)
    assert told.headline == "PiSSA is the only adapter that is not flagged below."
    assert TRAINED_ONCE not in told.sentences


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("id", "measured on other test items"),
        ("settings", "measured with other settings"),
        ("signatures", "measured with other versions"),
        ("rank", "trained with other settings"),
        ("data", "trained on other data"),
    ],
)
def test_a_training_that_differs_in_more_than_its_seed_is_left_out(tmp_path: Path, part: str, words: str) -> None:
    read(tmp_path, *PLANTED[:5])
    evaluation, adapter = tmp_path / "evaluation" / "lora-seed2", tmp_path / "adapters" / "lora-seed2"
    run, metrics = (json.loads(path.read_text()) for path in (adapter / "run.json", evaluation / "metrics.json"))
    if part == "id":
        write_evaluation(evaluation, PLANTED[3], items(59))
    elif part in metrics:
        write_json(
            evaluation / "metrics.json",
            metrics | {part: metrics[part] | {"sampling": {} if part == "settings" else "another"}},
        )
    elif part == "rank":
        write_json(adapter / "run.json", run | {"settings": run["settings"] | {"rank": 8}})
    else:
        write_json(adapter / "run.json", run | {"data": {"sha256": {"train": "1a"}}})
    lora = read(tmp_path, *PLANTED[:5])[1]
    assert list(lora.trainings) == [7, 3]
    assert lora.left_out == (f"LoRA, seed 2, is left out: it was {words}.",)
    assert seeds_section.build([lora], labels_of(["lora"])).left_out == list(lora.left_out)


def test_seeds_without_the_methods_own_adapter_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"no evaluation of lora .* evaluate --method lora` first"):
        read(root, PLANTED[0], PLANTED[3])


def test_the_spread_between_seeds_is_their_standard_deviation(systems: list[System]) -> None:
    labels = labels_of(system.name for system in systems)
    table = seeds_section.build(systems, labels)
    bounds = [one.metrics["metrics"]["bound_per_token"]["value"] for one in systems[1].trainings.values()]
    rows = {(row.system.name, row.seed): row.cells for row in table.rows}
    assert rows["lora", "SD"][0].text == f"{np.std(bounds, ddof=1):.3f}"
    assert rows["lora", "2"][0].text == f"{bounds[1]:.3f}"
    assert seeds_section.build([replace(system, others=()) for system in systems], labels).rows == []


def test_the_report_shows_every_seed_and_copies_every_metrics_file(tmp_path: Path) -> None:
    report = write_planted_report(tmp_path, PLANTED, count=20, points=30)
    page, text = (report / "index.html").read_text(), (report / "report.md").read_text()
    assert "| LoRA, 3 seeds |" in text
    assert "| LoRA | SD |" in text
    assert page.count("<td>SD</td>") == 2
    assert "over items and seeds together" in page
    for planted in PLANTED:
        assert json.loads((report / "metrics" / f"{planted.name}.json").read_text())["system"] == planted.name
    assert sorted(path.name for path in report.glob("*.html")) == ["index.html", "lora.html", "pissa.html"]
    card = (report / "cards" / "lora" / "README.md").read_text()
    assert "Trained with 3 seeds (7, 2, 3), the method reaches" in card
    assert "LoRA, 3 seeds" not in card  # the table is of the adapter that the card goes with


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Profile, Paths, list[str]]:
    """Artefacts up to `format`; training and evaluation write what they are recognised by, and are listed."""
    profile, paths, calls = load_profile("mini"), Paths.of("mini", tmp_path), []
    for name in ("base", "encoder"):
        (tmp_path / name).mkdir()
    base, encoder = ({"path": name, "sha256": name} for name in ("base", "encoder"))
    write_formatted(paths.formatted)
    test = paths.formatted / "test.parquet"
    test.write_bytes((paths.formatted / "validation.parquet").read_bytes())
    write_inputs(paths.root, {"dataset": {"files": []}, "base": base, "encoder": encoder})

    def train(plan):
        calls.append(f"train {plan.output.name} with {plan.method_name} and {plan.seed}")
        facts = {"method": plan.method_name, "seed": plan.seed, "settings": plan.settings, "base": {"sha256": "base"}}
        write_json(plan.output / "run.json", facts | {"data": {"sha256": plan.data}})
        (plan.output / "adapter_model.safetensors").write_text(f"{calls}")

    def evaluate(profile, paths, system):
        calls.append(f"evaluate {system}")
        settings = measurement_of(profile).settings
        folder = paths.evaluation(system)
        write_json(folder / "metrics.json", {"schema_version": SCHEMA_VERSION, "settings": settings})
        write_json(folder / "accounting.json", {"measured": measured_hashes(paths.adapter(system), test, None)})

    monkeypatch.setattr("training.trainer.train", train)
    monkeypatch.setattr("pipeline.stages.evaluate.run", evaluate)
    return profile, paths, calls


def test_what_is_missing_is_trained_and_evaluated_and_nothing_twice(world) -> None:
    profile, paths, calls = world
    train_and_evaluate(profile, paths, adapters_of(profile, ["lora", "pissa"], [2]))
    assert calls == [
        "train lora-seed2 with lora and 2",
        "evaluate lora-seed2",
        "train pissa-seed2 with pissa and 2",
        "evaluate pissa-seed2",
    ]
    train_and_evaluate(profile, paths, adapters_of(profile, ["lora", "pissa"], [2]))
    assert len(calls) == 4
    train_and_evaluate(
        profile, paths, adapters_of(profile, ["lora"], [2, 42])
    )  # the profile's own seed is the plain adapter
    assert calls[4:] == ["train lora with lora and 42", "evaluate lora"]


def test_an_adapter_that_changed_is_evaluated_again_and_changed_settings_train_again(world) -> None:
    profile, paths, calls = world
    train_and_evaluate(profile, paths, adapters_of(profile, ["lora"], [2]))
    (paths.adapter("lora-seed2") / "adapter_model.safetensors").write_text("trained by hand since")
    train_and_evaluate(profile, paths, adapters_of(profile, ["lora"], [2]))
    assert calls[2:] == ["evaluate lora-seed2"]
    changed = load_profile("mini", ["methods.lora.rank=3"])
    train_and_evaluate(changed, paths, adapters_of(changed, ["lora"], [2]))
    assert calls[3:] == ["train lora-seed2 with lora and 2", "evaluate lora-seed2"]
    other = load_profile("mini", ["sampling.temperature=0.5", "methods.lora.rank=3"])
    train_and_evaluate(other, paths, adapters_of(other, ["lora"], [2]))
    assert calls[5:] == ["evaluate lora-seed2"]


def test_a_misspelt_method_is_refused_before_anything_is_trained(world) -> None:
    profile, paths, calls = world
    with pytest.raises(InputError, match="lroa"):
        train_and_evaluate(profile, paths, adapters_of(profile, ["lora", "lroa"], [2]))
    assert calls == []
