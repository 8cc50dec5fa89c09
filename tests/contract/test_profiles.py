"""Profiles are validated strictly, with every fault at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from common.errors import InputError
from pipeline.paths import Paths
from pipeline.profile import CONFIGS, EMBEDDED_CONTEXT, SHIPPED_VOCABULARY, SHIPPED_WIDTHS, load_profile
from tests.support.imports import REPOSITORY

PROFILES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def faults_of(*overrides: str, profile: str = "mini") -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        load_profile(profile, overrides)
    return caught.value.faults


def test_the_promised_profiles_are_there() -> None:
    bases = {"llada-8b", "llada-8b-24gb", "llada-8b-t4", "llada-1.5", "illada-8b", "illada-8b-24gb"}
    assert {"mini", "kcv-2025", *bases} <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_every_shipped_profile_is_valid_and_named_like_its_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert {"lora", "loraplus", "pissa"} <= set(profile.methods)


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_begins_with_the_command_that_runs_it(name: str) -> None:
    comment = [line for line in (CONFIGS / f"{name}.yaml").read_text().splitlines() if line.startswith("#")]
    assert any("dvc repro" in line or f"-S profile={name}" in line for line in comment)


def test_all_faults_are_reported_at_once_with_a_suggestion() -> None:
    faults = faults_of("data.clustres=5", "train.epochs=many", "methods.lora.rnak=4", "data.clusters=0")
    assert len(faults) == 4
    assert any("data.clustres" in fault and "did you mean clusters?" in fault for fault in faults)
    assert any("methods.lora.rnak" in fault and "did you mean rank?" in fault for fault in faults)
    assert any("train.epochs" in fault and "'many'" in fault for fault in faults)
    assert any("data.clusters: 0" in fault and "greater than or equal to 1" in fault for fault in faults)


def test_a_fault_names_its_origin(tmp_path: Path) -> None:
    values = yaml.safe_load((CONFIGS / "mini.yaml").read_text())
    values["data"]["clusters"] = -1
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    first, second = sorted(faults_of("train.epochs=0", profile=str(path)))
    assert first.startswith("--set: train.epochs")
    assert second.startswith(f"{path}: data.clusters")


def test_methods_of_a_twin_need_a_twin_and_a_method_of_the_diffusion_model(tmp_path: Path) -> None:
    [fault] = faults_of("methods.ar-lora={rank: 4}")
    assert "methods.ar-lora needs a twin" in fault
    [fault] = faults_of("methods={ar-lora: {rank: 4}}", profile="mini-against-ar")
    assert "a method of the diffusion model has to be there" in fault
    [fault] = faults_of("methods.ar-dora={rank: 4}", profile="mini-against-ar")
    assert "unknown method" in fault
    profile = load_profile("mini-against-ar")
    assert profile.method("ar-lora-seed2") == profile.methods["ar-lora"]


def test_a_comparison_differs_from_its_profile_in_the_twin_alone() -> None:
    for name in ("mini", "llada-8b"):
        plain, against = (load_profile(one).model_dump() for one in (name, f"{name}-against-ar"))
        methods = {key: value for key, value in against["methods"].items() if not key.startswith("ar-")}
        assert against | {"name": name, "twin": None, "methods": methods} == plain


def test_misspelt_sampler_and_leakage_keys_are_suggested() -> None:
    faults = faults_of("sampling.gen_lenght=8", "data.leakage.jacard=0.5")
    assert any("sampling.gen_lenght" in fault and "did you mean gen_length?" in fault for fault in faults)
    assert any("data.leakage.jacard" in fault and "did you mean jaccard?" in fault for fault in faults)


def test_unknown_method_section_is_named() -> None:
    [fault] = faults_of("methods.lorra={rank: 4}")
    assert "lorra" in fault
    assert "did you mean lora?" in fault


def test_unknown_profile_is_named_with_a_suggestion() -> None:
    [fault] = faults_of(profile="minni")
    assert "unknown profile 'minni'" in fault
    assert "did you mean mini?" in fault


def test_a_test_set_larger_than_its_pool_is_refused() -> None:
    [fault] = faults_of("data.test_pool=50", "data.test_size=100")
    assert "data.test_size: 100" in fault
    assert "data.test_pool: 50" in fault


BETWEEN_SETTINGS = {
    "base_heads and base_width": (["data.embedded.base_heads=3"], "3 heads cannot share base_width: 128"),
    "encoder and encoder_width": (["data.embedded.encoder_width=64"], "encoder_width: 64, but .* has 128; .*: fresh"),
    "encoder and vocabulary": (["data.embedded.vocabulary=700"], "vocabulary: 700, but .* has 1536; .*: fresh"),
    "test_size and test_pool": (["data.test_size=400"], "data.test_size: 400 is larger than data.test_pool: 394"),
    "validation_fraction and drawn rows": (
        ["data.clusters=1", "data.per_cluster=5", "data.validation_fraction=0.9"],
        "data.validation_fraction: 0.9 of the 5 rows",
    ),
    "rows wanted and rows made": (["data.embedded.rows=8000"], "are 7,394 rows, but .* gives at most 7,200"),
    "rows wanted and sample": (["data.sample_fraction=0.1"], "gives at most 1,200"),
    "max_length and context": (["data.max_length=5000"], "data.max_length: 5000 is over the embedded base's context"),
    "gen_length and context": (["sampling.gen_length=4096", "sampling.steps=1024"], "leaves no room for a prompt"),
    "max_gen_length and context": (["sampling.max_gen_length=4096"], "leaves no room for a prompt"),
    "gen_length and block_length": (["sampling.gen_length=50"], "allowed: a multiple of block_length"),
    "steps and blocks": (["sampling.steps=47"], "a multiple of the number of blocks"),
    "max_gen_length and gen_length": (["sampling.max_gen_length=8"], "at least gen_length"),
    "max_gen_length and stop_at_eos": (
        ["sampling.max_gen_length=64", "sampling.stop_at_eos=false"], "allowed only with stop_at_eos",
    ),
    "insert_masks and max_gen_length": (["sampling.insert_masks=2"], "allowed only with max_gen_length"),
    "stop ids and vocabulary": (["sampling.stop_token_ids=[1536]"], "1536 is no token of the embedded base"),
    "stop ids and the shipped base's vocabulary": (
        ["sampling.stop_token_ids=[1536]", "data.embedded.vocabulary=4096", "data.embedded.encoder=fresh"],
        "vocabulary has 1536",
    ),
    "stop ids and a fresh base's vocabulary": (
        ["sampling.stop_token_ids=[600]", "data.embedded={vocabulary: 600, base: fresh, encoder: fresh, rows: 12000}"],
        "vocabulary has 600",
    ),
    "known_tokens and vocabulary": (["sampling.known_tokens=1537"], "more than the embedded base's vocabulary: 1536"),
    "budgets and block_length": (["evaluation.eos_overflow=[10]"], "must be a multiple of sampling.block_length"),
    "budgets and context": (["evaluation.eos_overflow=[4096]"], "4096 leaves no room for a prompt"),
    "budgets and steps": (["evaluation.eos_overflow=[512]", "sampling.steps=60000"], "640,000 steps"),
    "masks and global_batch_size": (
        ["train.masks=complementary", "train.global_batch_size=3"], "needs an even global_batch_size",
    ),
    "rank and weights, PiSSA": (["methods.pissa.rank=129"], "PiSSA takes at most 128"),
    "rank and weights, LoRA-GA": (["methods.lora_ga={rank: 65}"], "LoRA-GA takes at most 64"),
    "rank and weights, EVA": (["methods.eva={rank: 65}"], "EVA takes at most 64"),
    "rank and weights, a fresh base": (
        ["methods.pissa.rank=100", "data.embedded.base=fresh", "data.embedded.base_mlp_width=96"], "at most 96",
    ),
    "rank and blocks": (["methods.gralora={rank: 5}"], "rank: 5 is no multiple of methods.gralora.blocks: 2"),
    "blocks and widths": (["methods.gralora={rank: 6, blocks: 3}"], "3 do not divide the embedded base's widths"),
    "alpha and method": (["methods.hira={alpha: 4}"], "HiRA has no such factor"),
    "quantisation and start": (["methods.corda={}", "model.quantization=nf4"], "CorDA starts from passes over the"),
    "quantisation and form": (["methods.gralora={}", "model.quantization=int8"], "no gradient on an int8 base"),
}  # fmt: skip
"""Settings each in its range that do not fit each other: what is set, and what is said before anything runs."""


@pytest.mark.parametrize("pair", BETWEEN_SETTINGS)
def test_settings_that_do_not_fit_each_other_are_refused_when_the_profile_is_read(pair: str) -> None:
    overrides, words = BETWEEN_SETTINGS[pair]
    [fault] = faults_of(*overrides)
    assert re.search(words, fault), fault
    assert len(fault) <= 300


@pytest.mark.parametrize(
    "overrides",
    [["methods.pissa={rank: 128}", "methods.lora_ga={rank: 64}", "methods.eva={rank: 64}", "methods.lora.rank=4096"],
     ["methods.pissa={rank: 100, targets: [q_proj]}", "data.embedded={base: fresh, rows: 12000, base_mlp_width: 96}"],
     ["data.clusters=1", "data.per_cluster=2", "data.validation_fraction=0.9", "data.validation_fraction=0.1"],
     ["data.embedded.rows=8216"], ["evaluation.eos_overflow=[4088]"], ["sampling.stop_token_ids=[1535]"]],
)  # fmt: skip
def test_settings_at_the_edge_of_what_fits_are_taken(overrides: list[str]) -> None:
    load_profile("mini", overrides)


def test_what_the_profile_knows_of_the_shipped_base_is_what_its_folder_says() -> None:
    config = json.loads((REPOSITORY / "data_prep/bundled/base/config.json").read_text())
    assert config["max_sequence_length"] == EMBEDDED_CONTEXT
    assert config["vocab_size"] == SHIPPED_VOCABULARY
    assert (config["d_model"], config["mlp_hidden_size"]) == SHIPPED_WIDTHS
    twin = json.loads((REPOSITORY / "data_prep/bundled/twin/config.json").read_text())
    assert (twin["hidden_size"], twin["intermediate_size"]) == SHIPPED_WIDTHS


@pytest.mark.parametrize("override", ["train.learning_rate", "=3", "data..clusters=3"])
def test_an_override_that_is_not_key_value_is_refused(override: str) -> None:
    [fault] = faults_of(override)
    assert "KEY=VALUE" in fault


def test_an_override_below_a_value_is_refused() -> None:
    [fault] = faults_of("seed.more=3")
    assert "seed is a value, not a section" in fault


def test_numbers_written_like_2e_4_are_numbers() -> None:
    # YAML 1.1 reads 2e-4 as text.
    assert load_profile("mini", ["train.learning_rate=2e-4"]).train.learning_rate == 2e-4


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("data: [unclosed")
    [fault] = faults_of(profile=str(path))
    assert str(path) in fault
    assert "not valid YAML" in fault


def test_a_method_outside_the_profile_follows_lora() -> None:
    profile = load_profile("mini")
    lora, dora = profile.method("lora"), profile.method("dora")
    assert dora == lora.model_copy(update={"learning_rate": profile.train.learning_rate})
    assert profile.method("olora-seed2").alpha is None
    with pytest.raises(InputError, match="not a method"):
        load_profile("mini").method("lorra")


def test_artifacts_move_together_with_the_report(tmp_path: Path) -> None:
    paths = Paths.of("mini", tmp_path)
    assert paths.candidates == tmp_path / "candidates.parquet"
    assert paths.report == tmp_path / "report"
    assert Paths.of("mini").report == Path("reports/mini")


@pytest.mark.parametrize("key", ["mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id"])
@pytest.mark.parametrize("value", [-1, 2**31, 10**30])
def test_a_token_id_is_one_that_32_bits_hold(key: str, value: int) -> None:
    with pytest.raises(InputError, match=f"model.{key}"):
        load_profile("mini", [f"model.{key}={value}"])
