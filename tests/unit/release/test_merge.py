"""Merged folders: the function of base plus adapter, in the published layout."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters import load_adapter
from adapters.base import load_base
from adapters.config import METHOD_NAMES, ModelConfig
from adapters.update import LowRank, add_adapter
from common.errors import InputError
from common.files import sha256_of_model_folder
from data_prep.bundled.models.tokenizer import build_tokenizer
from llada import LLaDAConfig, LLaDAModelLM
from llada.chat_format import load_tokenizer
from llada.errors import CheckpointError
from llada.network.checkpoint import check_folder
from llada.network.configuration import ILLaDAConfig
from release import merge as merging
from release import merge_check
from release.gguf_sizes import gguf_bytes, size_table
from release.merge import merge, plan_shards
from release.merge_check import compare
from release.tensor_files import INDEX, Stored
from tests.support.imports import REPOSITORY
from tests.support.small_world import MASK, small_config, small_model
from tests.unit.adapters.test_storage import IDS, trained

ROWS = [row.tolist() for row in IDS]
HEAD = "model.transformer.ff_out.weight"
DOCUMENT = REPOSITORY / "docs" / "deployment.md"


def merged(tmp_path: Path, name: str, model: ModelConfig | None = None, **settings):
    _, adapter = trained(tmp_path, name, **settings)
    output = tmp_path / "merged"
    model = model or ModelConfig()
    check = merge(model=model, base=tmp_path / "base", adapter=adapter, output=output, rows=ROWS, shard_bytes=60_000)
    return output, adapter, check


@pytest.mark.parametrize(
    ("kind", "name"), [*[("llada", name) for name in METHOD_NAMES], ("illada", "lora"), ("illada", "pissa")]
)
@torch.no_grad()
def test_merged_folder_is_base_plus_adapter(tmp_path, kind, name):
    output, adapter, check = merged(tmp_path, name, kind=kind, alpha=6)
    expected = load_adapter(load_base(ModelConfig(), tmp_path / "base"), adapter)(IDS).logits
    actual = LLaDAModelLM.from_pretrained(output).eval()(IDS).logits
    assert torch.allclose(actual, expected, atol=1e-5, rtol=0)
    assert (actual - small_model(kind=kind)(IDS).logits).abs().max() > 0.01
    assert check.passed
    assert check.rows == 3
    assert check.difference < 1e-6  # float64 arithmetic leaves the rounding of the weights


@pytest.mark.parametrize("name", METHOD_NAMES)
@torch.no_grad()
def test_an_adapter_added_to_a_loaded_network_is_the_function_that_peft_runs(tmp_path, name):
    _, adapter = trained(tmp_path, name, alpha=6)
    expected = load_adapter(load_base(ModelConfig(), tmp_path / "base"), adapter)(IDS).logits
    network = load_base(ModelConfig(), tmp_path / "base")
    add_adapter(network, adapter)
    assert torch.allclose(network(IDS).logits, expected, atol=1e-5, rtol=0)
    assert (small_model()(IDS).logits - expected).abs().max() > 0.01


def test_a_merged_illada_keeps_the_published_layout_and_names_its_mask_token(tmp_path):
    _, adapter = trained(tmp_path, "lora", kind="illada")
    base = tmp_path / "base"
    config = json.loads((base / "config.json").read_text())
    del config["mask_token_id"]  # as published
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"set model\.mask_token_id"):
        merge(model=ModelConfig(), base=base, adapter=adapter, output=tmp_path / "merged")
    output = tmp_path / "merged"
    merge(model=ModelConfig(mask_token_id=MASK), base=base, adapter=adapter, output=output, rows=ROWS)
    placed = json.loads((output / INDEX).read_text())["weight_map"]
    assert placed.keys() == load_file(base / "model.safetensors").keys()
    assert json.loads((output / "config.json").read_text()) == config | {"mask_token_id": MASK}
    assert "# iLLaDA with the LoRA adapter merged in" in (output / "README.md").read_text()


def test_a_tied_head_is_stored_once_in_gguf():
    shape = ILLaDAConfig(hidden_size=256, intermediate_size=512, num_hidden_layers=1, vocab_size=1024)
    tied = gguf_bytes(shape, "BF16")
    shape.weight_tying = False
    assert gguf_bytes(shape, "BF16") - tied == 2 * 1024 * 256
    shape.weight_tying = True
    assert gguf_bytes(shape, "Q4_0") - gguf_bytes(shape, "Q4_0", pure=True) == 1024 * (210 - 8 * 18)


def test_an_adapter_of_another_base_is_not_added(tmp_path):
    _, adapter = trained(tmp_path, "lora")
    wider = LLaDAModelLM(small_config(mlp_hidden_size=80))
    with pytest.raises(InputError, match="which this base does not have"):
        add_adapter(wider, adapter)


@pytest.mark.parametrize("name", ["lora", "rslora", "dora", "pissa"])
@torch.no_grad()
def test_the_check_block_by_block_is_that_of_the_whole_models(tmp_path, name):
    """Against another network, so that there is a difference to agree on."""
    _, adapter = trained(tmp_path, name, alpha=6)
    other = small_model(seed=1)
    other.save_pretrained(tmp_path / "other", max_shard_size="100KB")
    check = compare(tmp_path / "base", adapter, tmp_path / "other", ROWS)
    adapted = load_adapter(load_base(ModelConfig(), tmp_path / "base"), adapter).double()
    expected = adapted(IDS).logits
    error = other.double()(IDS).logits - expected
    assert math.isclose(check.difference, error.abs().max().item(), rel_tol=1e-9)
    assert math.isclose(check.rms, error.square().mean().sqrt().item(), rel_tol=1e-9)
    assert math.isclose(check.largest, expected.abs().max().item(), rel_tol=1e-9)
    assert not check.passed


def test_the_check_reads_a_head_of_several_parts_and_rows_of_any_length(tmp_path, monkeypatch):
    output, adapter, _ = merged(tmp_path, "lora")
    whole = compare(tmp_path / "base", adapter, output, ROWS)
    monkeypatch.setattr(merge_check, "VOCABULARY_CHUNK", 24)  # 64 = 24 + 24 + 16
    parts = compare(tmp_path / "base", adapter, output, ROWS)
    assert math.isclose(parts.difference, whole.difference, rel_tol=1e-6)
    assert math.isclose(parts.rms, whole.rms, rel_tol=1e-6)
    shorter = compare(tmp_path / "base", adapter, output, [ROWS[0][:5], ROWS[1]])
    assert 0 < shorter.difference <= 1e-6


def test_a_merged_weight_that_is_not_a_number_does_not_pass(tmp_path):
    output, adapter, _ = merged(tmp_path, "lora")
    shard = next(path for path in output.glob("model-*.safetensors") if HEAD in load_file(path))
    save_file(load_file(shard) | {HEAD: torch.full((64, 64), math.nan)}, shard)
    assert not compare(tmp_path / "base", adapter, output, ROWS).passed


@pytest.mark.parametrize("name", ["lora", "rslora", "dora"])
def test_weights_are_those_of_pefts_own_merge(tmp_path, name):
    output, adapter, _ = merged(tmp_path, name, alpha=6)
    model = load_adapter(load_base(ModelConfig(), tmp_path / "base"), adapter).merge_and_unload()
    index = json.loads((output / INDEX).read_text())["weight_map"]
    stored = {key: tensor for file in set(index.values()) for key, tensor in load_file(output / file).items()}
    expected = model.state_dict()
    assert stored.keys() == expected.keys()
    for key, tensor in stored.items():
        assert torch.allclose(tensor, expected[key], atol=1e-6, rtol=1e-5), key


def test_a_16_bit_base_stays_16_bit_and_is_rounded_once(tmp_path):
    _, adapter = trained(tmp_path, "lora")
    base = tmp_path / "half"
    small_model().to(torch.bfloat16).save_pretrained(base)
    output = tmp_path / "merged"
    check = merge(model=ModelConfig(), base=base, adapter=adapter, output=output, rows=ROWS)
    assert check.passed
    assert check.dtype == "bfloat16"  # that of the files, whatever the profile computes in
    assert 1e-4 < check.difference < 2e-2 * check.largest
    assert check.rms < 2e-2
    name = "model.transformer.blocks.1.ff_out.weight"
    before = load_file(base / "model.safetensors")[name]
    after = load_file(output / "model-00001-of-00001.safetensors")[name]
    tensors = load_file(adapter / "adapter_model.safetensors")
    key = "base_model.model.model.transformer.blocks.1.ff_out"
    product = tensors[f"{key}.lora_B.weight"].double() @ tensors[f"{key}.lora_A.weight"].double()
    assert after.dtype == torch.bfloat16
    exact = before.double() + product
    assert torch.all((after.double() - exact).abs() <= exact.abs() * 2**-8)  # half a unit in the last place


def test_shards_are_complete_indexed_and_small(tmp_path):
    output, _, _ = merged(tmp_path, "lora")
    check_folder(output)
    shards = sorted(output.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert all(path.stat().st_size < 60_000 + 2_000 for path in shards)
    index = json.loads((output / INDEX).read_text())
    weights = sum(t.numel() * t.element_size() for path in shards for t in load_file(path).values())
    assert index["metadata"]["total_size"] == weights


def test_a_sharded_base_is_read_too(tmp_path):
    _, adapter = trained(tmp_path, "lora")
    small_model().save_pretrained(tmp_path / "sharded", max_shard_size="100KB")
    assert (tmp_path / "sharded" / INDEX).is_file()
    check = merge(
        model=ModelConfig(), base=tmp_path / "sharded", adapter=adapter, output=tmp_path / "merged", rows=ROWS
    )
    assert check.passed


def test_tokenizer_files_and_card_come_along(tmp_path):
    for name in ("tokenizer.json", "chat_template.jinja"):
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_text(json.dumps({"of": name}))
    output, _, check = merged(tmp_path, "pissa")
    assert json.loads((output / "tokenizer.json").read_text()) == {"of": "tokenizer.json"}
    assert (output / "chat_template.jinja").is_file()
    card = (output / "README.md").read_text()
    assert f"{check.difference:.2g}, the root mean square {check.rms:.1g} (float32 weights, float64 arithmetic)" in card


def with_tokenizer(base: Path) -> Any:
    """A tokenizer for a small base, whose config then has its token ids."""
    texts = ["Ibu kota Jawa Barat adalah Bandung.", "Air mendidih pada 100 derajat."]
    tokenizer = build_tokenizer(texts, 300, base)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("mask", "eos", "pad")}
    fields = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(fields | ids))
    return tokenizer


def test_the_merged_tokenizer_is_named_as_transformers_4_knows_it(tmp_path):
    """Its class there is PreTrainedTokenizerFast, and a list under `extra_special_tokens` an error."""
    _, adapter = trained(tmp_path, "lora")
    before = with_tokenizer(tmp_path / "base")
    output = tmp_path / "merged"
    merge(model=ModelConfig(), base=tmp_path / "base", adapter=adapter, output=output)
    settings = json.loads((output / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "<|eot_id|>" in settings["additional_special_tokens"]
    assert "extra_special_tokens" not in settings
    after = load_tokenizer(output)
    text = "Ibu kota<|eot_id|> 100 derajat"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert set(after.all_special_tokens) == set(before.all_special_tokens)


def test_a_merged_folder_points_to_nothing_outside_itself(tmp_path):
    """A published base names remote code that is not copied, and files of the machine that it was saved on."""
    _, adapter = trained(tmp_path, "lora")
    base = tmp_path / "base"
    with_tokenizer(base)
    outside = {"auto_map": {"AutoModel": "modeling_llada.LLaDAModelLM"}, "_name_or_path": "/home/somebody/base"}
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((base / name).read_text())
        (base / name).write_text(json.dumps(content | outside | {"tokenizer_file": "/home/somebody/tokenizer.json"}))
    config = json.loads((base / "config.json").read_text())
    config.pop("tokenizer_file")
    (base / "config.json").write_text(json.dumps(config))
    output = tmp_path / "merged"
    merge(model=ModelConfig(), base=base, adapter=adapter, output=output)
    for name in ("config.json", "tokenizer_config.json"):
        text = (output / name).read_text()
        assert "auto_map" not in text
        assert "somebody" not in text
    before, after = json.loads((base / "config.json").read_text()), json.loads((output / "config.json").read_text())
    assert after == {key: value for key, value in before.items() if key not in outside}
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(output)
    assert torch.equal(loaded(IDS).logits, LLaDAModelLM.from_pretrained(output)(IDS).logits)
    assert AutoTokenizer.from_pretrained(output)("Air")["input_ids"] == load_tokenizer(output)("Air")["input_ids"]


def recorded(adapter: Path, base: Path, **changes) -> None:
    run = json.loads((adapter / "run.json").read_text())
    run["base"] = {"name": "org/base", "revision": "abc", "sha256": sha256_of_model_folder(base)} | changes
    (adapter / "run.json").write_text(json.dumps(run))


def test_an_adapter_of_another_base_of_the_same_shapes_is_refused(tmp_path):
    _, adapter = trained(tmp_path, "lora")
    recorded(adapter, tmp_path / "base")
    small_model(seed=1).save_pretrained(tmp_path / "other")
    with pytest.raises(InputError, match="trained on the base org/base") as caught:
        merge(model=ModelConfig(), base=tmp_path / "other", adapter=adapter, output=tmp_path / "merged", rows=ROWS)
    assert str(tmp_path / "other") in caught.value.faults[0]
    assert not (tmp_path / "merged").exists()


def test_the_merged_card_names_the_base_that_was_merged(tmp_path):
    _, adapter = trained(tmp_path, "lora")
    (adapter / "run.json").unlink()  # of another program: nothing says what it was trained on
    model = ModelConfig(base="other/one", revision="main")
    merge(model=model, base=tmp_path / "base", adapter=adapter, output=tmp_path / "merged")
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "base_model: other/one\n" in card
    assert sha256_of_model_folder(tmp_path / "base") in card
    assert str(tmp_path) not in card


def test_a_tensor_larger_than_a_shard_gets_its_own():
    tensors = [Stored(name, Path("x"), size) for name, size in (("a", 3), ("b", 4), ("c", 20), ("d", 2), ("e", 8))]
    assert [[t.name for t in shard] for shard in plan_shards(tensors, 10)] == [["a", "b"], ["c"], ["d", "e"]]


def refused(tmp_path: Path, words: str, **changes) -> None:
    _, adapter = trained(tmp_path, "lora")
    arguments = {"model": ModelConfig(), "base": tmp_path / "base", "adapter": adapter, "output": tmp_path / "merged"}
    with pytest.raises(InputError, match=words):
        merge(**(arguments | changes))
    assert not (tmp_path / "merged" / INDEX).exists()
    assert not list(tmp_path.glob(".merged-*"))


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_merging_into_a_quantised_base_is_refused(tmp_path, kind):
    refused(tmp_path, "merge into the unquantised base", model=ModelConfig(quantization=kind))


def test_an_output_with_content_is_refused(tmp_path):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "notes.txt").write_text("mine")
    refused(tmp_path, "not empty")
    assert (tmp_path / "merged" / "notes.txt").read_text() == "mine"


def test_a_missing_adapter_is_named(tmp_path):
    refused(tmp_path, "adapter_config.json: no such file", adapter=tmp_path / "nowhere")


@pytest.mark.parametrize("change", [{"mlp_hidden_size": 192}, {"n_layers": 1}])
def test_an_adapter_of_another_base_is_refused(tmp_path, change):
    small_model(**change).save_pretrained(tmp_path / "other")
    refused(tmp_path, "belongs to another base", base=tmp_path / "other")


def test_a_merge_that_computes_something_else_is_not_left_behind(tmp_path, monkeypatch):
    read = merging.read_adapter

    def doubled(folder):
        return {name: LowRank(u.A, u.B, 2 * u.scaling, u.magnitude) for name, u in read(folder).items()}

    monkeypatch.setattr(merging, "read_adapter", doubled)
    refused(tmp_path, "base plus adapter differ by", rows=ROWS)


def test_gguf_sizes_are_blocks_times_bits():
    """Independently: 8,015,581,184 weights, of which 65 norms of 4,096 stay in float32."""
    norms = 65 * 4096
    for kind, bits in (("BF16", 16), ("Q8_0", 8.5), ("Q5_1", 6), ("Q4_0", 4.5)):
        expected = (8_015_581_184 - norms) * bits / 8 + 4 * norms
        assert math.isclose(gguf_bytes(LLaDAConfig(), kind, pure=True), expected)


@pytest.mark.parametrize(
    ("kind", "written", "pure"),
    [
        ("BF16", 6_231_040, 6_231_040),
        ("Q8_0", 3_312_640, 3_312_640),
        ("Q5_1", 2_413_568, 2_339_840),
        ("Q4_0", 2_026_496, 1_756_160),
    ],
)
def test_gguf_sizes_are_those_that_llama_cpp_wrote(kind, written, pure):
    """Bytes of the tensors in its files of the merged embedded base (commit 0c1e570), without and with `--pure`."""
    shape = small_config(
        d_model=256, n_layers=2, mlp_hidden_size=320, vocab_size=4096, embedding_size=4096, max_sequence_length=4096
    )
    assert gguf_bytes(shape, kind) == written
    assert gguf_bytes(shape, kind, pure=True) == pure


def test_the_documented_size_table_is_the_computed_one():
    assert size_table(LLaDAConfig()) in DOCUMENT.read_text()
