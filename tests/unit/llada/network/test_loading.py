"""Checkpoints: the published layout loads, a damaged one gives one clear error."""

import json
import logging
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from llada import LLaDAConfig, LLaDAModelLM
from llada.errors import CheckpointError
from tests.support.llama_twin import KINDS, config_of, tiny_model, tokens

IDS = tokens(2, 9)
FROM_TRANSFORMERS = {"architectures", "dtype", "transformers_version"}


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.fixture(scope="module", params=KINDS)
def sharded(request, tmp_path_factory):
    """The tiny network in either layout over three shards with an index, and its logits."""
    folder = tmp_path_factory.mktemp("sharded")
    model = tiny_model(kind=request.param)
    config = model.config.to_dict()
    (folder / "config.json").write_text(json.dumps(config, default=str))
    tied = f"{model.config.layout.head}.weight" if model.config.weight_tying else None
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != tied}
    names = sorted(state)
    placed = {name: f"model-{1 + index % 3:05d}-of-00003.safetensors" for index, name in enumerate(names)}
    for shard in sorted(set(placed.values())):
        save_file({name: state[name] for name in names if placed[name] == shard}, folder / shard, {"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder, logits(model)


@pytest.fixture
def damaged(sharded, tmp_path):
    return shutil.copytree(sharded[0], tmp_path / "damaged")


def shard_of(folder, number=2):
    return folder / f"model-{number:05d}-of-00003.safetensors"


def edit(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("options", [{}, {"device_map": "cpu"}, {"device_map": {"": "cpu"}, "low_cpu_mem_usage": True}])
def test_three_shards_load_without_a_warning(sharded, options, caplog, capfd):
    folder, expected = sharded
    logging.getLogger("transformers").propagate = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LLaDAModelLM.from_pretrained(folder, dtype=torch.float32, **options)
    assert torch.equal(logits(model), expected)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "warning" not in capfd.readouterr().err.lower()


@pytest.mark.parametrize("shard_size", ["5GB", "40KB"])
def test_saved_model_loads_again_bit_for_bit(sharded, tmp_path, shard_size):
    model = LLaDAModelLM.from_pretrained(sharded[0])
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert torch.equal(logits(LLaDAModelLM.from_pretrained(tmp_path)), sharded[1])
    written, before = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, sharded[0]))
    assert written["architectures"] == [type(model).__name__]
    assert {name: written[name] for name in before.keys() & written.keys() - FROM_TRANSFORMERS} == {
        name: before[name] for name in before.keys() & written.keys() - FROM_TRANSFORMERS
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtype_is_as_asked(sharded, dtype):
    model = LLaDAModelLM.from_pretrained(sharded[0], dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    computed = logits(model)
    assert computed.dtype == dtype
    assert (computed.double() - sharded[1].double()).abs().max() < {torch.bfloat16: 0.2, torch.float16: 0.02}.get(
        dtype, 1e-4
    )


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM])
def test_auto_classes_know_the_model_type(sharded, auto):
    config = AutoConfig.from_pretrained(sharded[0])
    assert isinstance(config, LLaDAConfig)
    model = auto.from_pretrained(sharded[0])
    assert type(model).__name__ == {"llada": "LLaDAModelLM", "illada": "ILLaDAForCausalLM"}[config.model_type]
    assert torch.equal(logits(model), sharded[1])


@pytest.mark.parametrize("kind", KINDS)
def test_tied_checkpoint_loads_with_or_without_the_head(kind, tmp_path):
    model = tiny_model(kind=kind, weight_tying=True)
    head, embedding = f"{model.config.layout.head}.weight", f"{model.config.layout.embedding}.weight"
    model.save_pretrained(tmp_path / "without")
    assert head not in load_file(tmp_path / "without" / "model.safetensors")
    shutil.copytree(tmp_path / "without", tmp_path / "with")
    edit(tmp_path / "with" / "model.safetensors", lambda state: state.update({head: state[embedding].clone()}))
    for folder in ("without", "with"):
        loaded = LLaDAModelLM.from_pretrained(tmp_path / folder)
        assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
        assert torch.equal(logits(loaded), logits(model))
    edit(tmp_path / "with" / "model.safetensors", lambda state: state[head].add_(1))
    with pytest.raises(CheckpointError, match=rf"(weight_tying|tie_word_embeddings): true .* {head} differs"):
        LLaDAModelLM.from_pretrained(tmp_path / "with")


def test_truncated_shard_is_named(damaged):
    shard = shard_of(damaged)
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=f"{shard.name}: damaged or truncated") as caught:
        LLaDAModelLM.from_pretrained(damaged)
    assert len(str(caught.value).splitlines()) == 1


def test_empty_shard_is_named(damaged):
    shard_of(damaged).write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{shard_of(damaged).name}: damaged or truncated"):
        LLaDAModelLM.from_pretrained(damaged)


def test_missing_shard_is_named(damaged):
    shard_of(damaged).unlink()
    with pytest.raises(CheckpointError, match=f"missing: {shard_of(damaged).name}"):
        LLaDAModelLM.from_pretrained(damaged)


def test_key_missing_from_its_shard_is_named(damaged):
    key = sorted(load_file(shard_of(damaged)))[0]
    edit(shard_of(damaged), lambda state: state.pop(key))
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        LLaDAModelLM.from_pretrained(damaged)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state, norm: state.pop(norm), "{norm} is missing"),
        (lambda state, norm: state.update({norm: torch.ones(47)}), r"{norm} has shape \[47\] instead of \[48\]"),
        (
            lambda state, norm: state.update({"model.q_norm.weight": torch.ones(len(norm))}),
            "q_norm.weight is not part of this network",
        ),
    ],
    ids=["missing", "misshapen", "superfluous"],
)
def test_tensors_that_do_not_fit_are_named(kind, tmp_path, change, fault):
    model = tiny_model(kind=kind)
    model.save_pretrained(tmp_path)
    norm = f"{model.config.layout.norm}.weight"
    edit(tmp_path / "model.safetensors", lambda state: change(state, norm))
    with pytest.raises(CheckpointError, match=fault.replace("{norm}", norm)):
        LLaDAModelLM.from_pretrained(tmp_path)


def test_pickled_weights_alone_are_refused(damaged):
    for path in damaged.glob("model*"):
        path.unlink()
    (damaged / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="only pickled weights"):
        LLaDAModelLM.from_pretrained(damaged)


def test_folder_without_weights_is_refused(damaged):
    for path in damaged.glob("model*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        LLaDAModelLM.from_pretrained(damaged)


def test_absent_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        LLaDAModelLM.from_pretrained(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "no such file"), ("{", "not valid JSON"), ('{"model_type": "llama"}', "model_type: 'llama'; this network")],
)
def test_config_that_is_not_lladas_is_refused(damaged, content, fault):
    (damaged / "config.json").unlink()
    if content is not None:
        (damaged / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=f"config.json: {fault}"):
        LLaDAModelLM.from_pretrained(damaged)


def test_unimplemented_fields_are_refused_one_line_each(damaged):
    fields = json.loads((damaged / "config.json").read_text()) | {"alibi": True, "qk_norm": True}
    (damaged / "config.json").write_text(json.dumps(fields))
    with pytest.raises(CheckpointError) as caught:
        LLaDAModelLM.from_pretrained(damaged)
    lines = str(caught.value).splitlines()
    assert [("alibi: True" in line, "qk_norm: True" in line) for line in lines] == [(True, False), (False, True)]
    assert all("config.json" in line for line in lines)


@pytest.mark.parametrize("base", KINDS)
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_blocks_leave_head_and_embedding_alone_and_train_adapters(tmp_path, base, kind):
    from peft import LoraConfig, get_peft_model
    from transformers import BitsAndBytesConfig

    from llada.diffusion.loss import masked_diffusion_loss

    full = tiny_model(kind=base, d_model=64, mlp_hidden_size=128)
    full.save_pretrained(tmp_path)
    choice = BitsAndBytesConfig(
        load_in_4bit=kind == "nf4",
        load_in_8bit=kind == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = LLaDAModelLM.from_pretrained(tmp_path, quantization_config=choice, dtype=torch.float32)
    layer = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[kind]
    ends = ("_proj", "_out", model.config.layout.head)
    kinds = {name: type(module).__name__ for name, module in model.named_modules() if name.endswith(ends)}
    assert kinds.pop(model.config.layout.head) == "Linear"
    assert set(kinds.values()) == {layer}
    both = torch.stack((logits(model).flatten().float(), logits(full).flatten()))
    assert torch.corrcoef(both)[0, 1] > {"nf4": 0.9, "int8": 0.99}[kind]
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=r".*\.\d+\..*(q_proj|ff_out|down_proj)"))
    ones = torch.ones_like(IDS)
    masked_diffusion_loss(adapted, IDS, ones, torch.full((2,), 0.5), ones).backward()
    trainable = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trainable)


def test_nf4_model_saved_after_use_loads_again(tmp_path):
    from transformers import BitsAndBytesConfig

    tiny_model(d_model=64, mlp_hidden_size=128).save_pretrained(tmp_path / "full")
    choice = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = LLaDAModelLM.from_pretrained(tmp_path / "full", quantization_config=choice, dtype=torch.float32)
    used = logits(model)
    model.save_pretrained(tmp_path / "nf4")
    assert torch.equal(logits(LLaDAModelLM.from_pretrained(tmp_path / "nf4")), used)


def test_config_given_by_hand_is_checked_against_the_weights(sharded):
    kind = json.loads((sharded[0] / "config.json").read_text())["model_type"]
    with pytest.raises(CheckpointError, match=r"(blocks|layers)\.2\..* is missing"):
        LLaDAModelLM.from_pretrained(sharded[0], config=config_of(kind, n_layers=3))
