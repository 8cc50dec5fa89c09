"""The plan: rows counted or assumed, time measured or computed and saying so, settings that make a run fit."""

import json
import shutil

import numpy as np
import pytest

from adapters.methods import METHODS
from common.errors import InputError
from llada import LLaDAConfig
from pipeline.forecast import as_json, flop_per_token, forecast, show
from pipeline.paths import Paths
from pipeline.profile import load_profile
from pipeline.stages.train import training_plan
from tests.support.chain import write_inputs
from tests.support.small_world import write_base, write_formatted
from training.memory.dry_run import dry_run
from training.memory.estimate import GIB, Workload, count

EIGHT = load_profile("llada-8b")


@pytest.fixture(scope="module")
def nothing_yet(tmp_path_factory):
    return Paths.of("any", tmp_path_factory.mktemp("empty") / "artifacts")


@pytest.fixture(scope="module")
def card_of_80(nothing_yet):
    return forecast(EIGHT, nothing_yet, "lora", gpu=80, tflops=None)


@pytest.fixture
def prepared(tmp_path):
    """Artefacts of a small run up to `format`."""
    paths = Paths.of("any", tmp_path)
    write_base(paths.inputs / "base")
    write_formatted(paths.formatted, rows=40)
    paths.inputs_facts.write_text(json.dumps({"base": {"path": "inputs/base"}}))
    return paths


def test_before_the_data_stages_rows_are_assumed_at_their_longest_and_it_says_so(card_of_80):
    assert card_of_80.rows == 9000  # 10 clusters x 1,000, a tenth of them for validation
    assert card_of_80.longest == 512
    assert "assumed" in card_of_80.rows_source
    assert "published" in card_of_80.shape_source


def test_variants_are_the_profile_and_three_types_with_and_without_checkpointing(card_of_80):
    labels = [variant.label for variant in card_of_80.variants]
    assert labels == ["profile", "bfloat16", "bfloat16, ckpt", "int8", "int8, ckpt", "NF4", "NF4, ckpt"]
    totals = {variant.label: variant.memory.total for variant in card_of_80.variants}
    assert totals["profile"] == totals["bfloat16"]
    assert totals["bfloat16, ckpt"] > totals["int8, ckpt"] > totals["NF4, ckpt"]
    assert totals["bfloat16"] > totals["NF4"] > totals["NF4, ckpt"]


def test_every_published_profile_fits_the_card_it_names(nothing_yet):
    for name, gpu in (("llada-8b", 80), ("llada-8b-24gb", 24), ("llada-8b-t4", 16), ("kcv-2025", 32)):
        assert forecast(load_profile(name), nothing_yet, "pissa", gpu=gpu, tflops=None).fits


def test_what_does_not_fit_gets_settings_of_which_one_does(nothing_yet):
    plan = forecast(EIGHT, nothing_yet, "lora", gpu=24, tflops=None)
    assert not plan.fits
    fitting = [change for change, total in plan.changes if total <= plan.machine.available]
    assert fitting
    overrides = fitting[0].split()
    assert forecast(load_profile("llada-8b", overrides), nothing_yet, "lora", gpu=24, tflops=None).fits


def test_flop_per_token_is_what_was_derived_for_the_full_size():
    """30.0 GFLOP per token at rank 16 and 512 tokens, 44.3 when every block is computed again."""
    config = EIGHT.method("lora")
    counts = count(LLaDAConfig(), METHODS["lora"], config)
    workload = Workload(LLaDAConfig(), counts, METHODS["lora"], config, np.full(8, 512), 0)
    assert flop_per_token(workload, False, answer=1.0) / 1e9 == pytest.approx(30.0, rel=0.01)
    ratio = flop_per_token(workload, True, answer=1.0) / flop_per_token(workload, False, answer=1.0)
    assert ratio == pytest.approx(26.3 / 17.8, rel=0.01)


def test_time_is_not_given_where_nobody_measured(card_of_80):
    assert card_of_80.time.seconds_per_epoch is None
    assert card_of_80.time.source.startswith("not measured")


def test_computed_time_says_that_it_is_computed(nothing_yet):
    time = forecast(EIGHT, nothing_yet, "lora", gpu=80, tflops=790).time
    assert time.source.startswith("computed, not measured: 40% of 790 TFLOP/s")
    assert time.tokens_per_second == pytest.approx(0.4 * 790e3 / time.gflop_per_token)
    assert 0.9 * 30.0 < time.gflop_per_token < 30.0  # Cendol's rows are shorter than 512 tokens


def finished(paths, profile, speed, **model):
    folder = paths.adapter("lora")
    folder.mkdir(parents=True)
    settings = {"model": profile.model.model_dump(mode="json") | model}
    run = {"settings": settings, "tokens_per_second": speed, "processes": 1, "device": "cpu"}
    (folder / "run.json").write_text(json.dumps(run))


def test_measured_speed_comes_from_a_finished_adapter(prepared):
    profile = load_profile("mini")
    finished(prepared, profile, 1000.0)
    plan = forecast(profile, prepared, "pissa", gpu=None, tflops=None)
    assert plan.rows == 40
    assert "measured: the finished adapter lora" in plan.time.source
    assert plan.time.seconds_per_epoch == pytest.approx(plan.time.tokens_per_epoch / 1000)
    assert plan.time.steps_per_epoch == 5


@pytest.mark.parametrize("content", ["{}", "[]", "null", "{", '{"base": 3, "splits": {"train": {}}, "settings": []}'])
@pytest.mark.parametrize("name", ["inputs.json", "format.json", "adapters/lora/run.json"])
def test_facts_of_another_shape_are_one_sentence_with_the_cure(prepared, name, content):
    path = prepared.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    if (name, content) == ("adapters/lora/run.json", "{}"):  # nothing was measured: that is all
        assert forecast(load_profile("mini"), prepared, "lora", gpu=None, tflops=None).time.tokens_per_second is None
        return
    with pytest.raises(InputError, match=rf"{path.name}: .*; run `(python -m pipeline|accelerate launch)"):
        forecast(load_profile("mini"), prepared, "lora", gpu=None, tflops=None)


def test_a_speed_measured_on_another_base_is_not_taken(prepared):
    profile = load_profile("mini")
    finished(prepared, profile, 1000.0, dtype="bfloat16")
    assert forecast(profile, prepared, "lora", gpu=None, tflops=None).time.tokens_per_second is None


def test_disk_counts_what_training_writes(prepared):
    plan = forecast(load_profile("mini"), prepared, "lora", gpu=None, tflops=None)
    trainable = count(LLaDAConfig.from_pretrained(prepared.inputs / "base"), METHODS["lora"],
                      load_profile("mini").method("lora")).trainable  # fmt: skip
    [adapters] = [size for label, size in plan.disk.items() if label.startswith("adapters")]
    assert adapters == 2 * 4 * trainable * (1 + 1 + 2)  # PiSSA is saved at twice the rank
    assert plan.disk_free > 0


def test_an_unknown_base_must_be_resolved_first(nothing_yet):
    profile = load_profile("llada-8b", ["model.base=somebody/else"])
    with pytest.raises(InputError, match="somebody/else: its shape is not known"):
        forecast(profile, nothing_yet, "lora", gpu=80, tflops=None)


def test_json_holds_what_the_table_shows(card_of_80, capsys):
    content = json.loads(json.dumps(as_json(card_of_80), allow_nan=False))
    assert content["fits"] is True
    first = content["memory"][0]
    assert first["total_bytes"] == pytest.approx(sum(first["bytes"].values()))
    show(card_of_80)
    shown = capsys.readouterr().out
    assert f"{first['total_bytes'] / GIB:.2f}" in shown
    assert "not measured" in shown


@pytest.mark.parametrize("method", ["lora", "pissa", "dora"])
def test_plan_and_dry_run_show_the_same_memory(prepared, monkeypatch, capsys, method):
    """The process's own memory aside, which grows with every library that a command before loaded."""
    monkeypatch.setattr("training.memory.estimate.process_bytes", lambda: 0.5 * GIB)
    inputs = {"dataset": {"files": []}, "encoder": {"path": "inputs"}, "base": {"path": "inputs/base", "sha256": "b"}}
    write_inputs(prepared.root, inputs)
    profile = load_profile("mini", [] if method != "dora" else ["methods.dora.rank=4"])
    show(forecast(profile, prepared, method, gpu=None, tflops=None))
    planned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("profile ")]
    dry_run(training_plan(profile, prepared, method))
    counted = [line for line in capsys.readouterr().out.splitlines() if line.startswith("profile ")]
    assert len(planned) == 1
    assert [line.split() for line in planned] == [line.split() for line in counted]
    assert planned[0].split()[-1] == "yes"


def test_a_card_has_less_than_stands_on_its_box(nothing_yet):
    """What an A10 or L4 and a T4 expose: 22.5 and 14.6 GiB."""
    for profile, gpu, exposed in (("llada-8b-24gb", 24, 22.5), ("llada-8b-t4", 16, 14.6)):
        plan = forecast(load_profile(profile), nothing_yet, "lora", gpu=gpu, tflops=None)
        assert 0.97 * exposed < plan.machine.available / GIB <= exposed


def test_before_the_rows_are_known_time_goes_by_their_average_and_memory_by_the_longest(nothing_yet):
    plan = forecast(EIGHT, nothing_yet, "lora", gpu=80, tflops=790)
    assert plan.longest == 512
    assert plan.time.tokens_per_row == 93 + 8  # and the supervised end
    other = forecast(load_profile("llada-8b", ["data.source=rows"]), nothing_yet, "lora", gpu=80, tflops=790)
    assert other.time.tokens_per_row == 512 + 8


def test_host_memory_is_what_passes_through_not_the_base(nothing_yet):
    """An embedding table of 126,464 x 4,096 in 16 bits; for PiSSA three float32 copies of the largest weight, and its
    factors three times. On a CPU the quantised base stays there.
    """

    def host(method, gpu, *changes):
        return forecast(load_profile("llada-8b-t4", changes), nothing_yet, method, gpu=gpu, tflops=None).host_bytes

    trainable = count(LLaDAConfig(), METHODS["pissa"], EIGHT.method("pissa")).trainable
    assert host("lora", 16) == 2 * 126464 * 4096
    assert host("pissa", 16) == 2 * 126464 * 4096 + 12 * trainable
    assert host("lora", None) == pytest.approx(3.6e9 + 4 * 126464 * 4096 + 2 * 126464 * 4096, rel=0.01)


def test_quantisation_keeps_the_micro_batch_where_that_fits(nothing_yet):
    plan = forecast(EIGHT, nothing_yet, "lora", gpu=24, tflops=None)
    fitting = [change for change, total in plan.changes if total <= plan.machine.available]
    assert "model.quantization=nf4 model.activation_checkpointing=true" in fitting


def test_disk_counts_what_was_fetched_and_embedded(prepared):
    (prepared.root / "rows.parquet").write_bytes(b"0" * 1000)
    (prepared.inputs / "encoder").mkdir()
    (prepared.inputs / "encoder" / "weights").write_bytes(b"0" * 200)
    prepared.embeddings.write_bytes(b"0" * 30)
    facts = json.loads(prepared.inputs_facts.read_text())
    facts |= {"dataset": {"files": [{"path": "rows.parquet"}]}, "encoder": {"path": "inputs/encoder"}}
    prepared.inputs_facts.write_text(json.dumps(facts))
    found = forecast(load_profile("mini"), prepared, "lora", gpu=None, tflops=None).disk
    assert [found[label] for label in ("data set", "encoder", "embeddings")] == [1000, 200, 30]


def test_what_is_not_fetched_yet_is_said_to_be_unknown(card_of_80, capsys):
    show(card_of_80)
    assert "known after `inputs`" in " ".join(capsys.readouterr().out.split())


def test_a_path_is_shown_as_it_is_written(prepared, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "400")
    elsewhere = Paths.of("any", tmp_path / "[red] :cat: [bold]")
    inputs = {"dataset": {"files": []}, "encoder": {"path": "."}, "base": {"path": "inputs/base", "sha256": "b"}}
    write_inputs(prepared.root, inputs)
    shutil.copytree(prepared.root, elsewhere.root, ignore=shutil.ignore_patterns("[[]*"))
    dry_run(training_plan(load_profile("mini"), elsewhere, "lora"))
    assert f"{elsewhere.adapter('lora')}" in capsys.readouterr().out
