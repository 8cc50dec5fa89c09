"""iLLaDA's published network and sampler, recorded: logits, gradients, tokens, and the layout that is written."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from llada import LLaDAModelLM, SamplerConfig, generate
from llada.diffusion.loss import forward_process, masked_diffusion_loss
from llada.errors import CheckpointError

DATA = Path(__file__).parent / "illada"
FORWARD = load_file(DATA / "forward.safetensors")
GRADIENTS = load_file(DATA / "loss_and_gradients.safetensors")
GENERATED = json.loads((DATA / "generate.json").read_text())
MASK = GENERATED["mask_token_id"]


@pytest.fixture
def model():
    return LLaDAModelLM.from_pretrained(DATA, mask_token_id=MASK, dtype=torch.float32)


@pytest.mark.parametrize("case", ["a_random", "b_masked", "c_right_pad"])
def test_logits_equal_the_published_models(case, model):
    with torch.no_grad():
        logits = model(FORWARD[f"{case}.ids"], FORWARD.get(f"{case}.attention_mask")).logits
    torch.testing.assert_close(logits, FORWARD[f"{case}.logits"], rtol=0, atol=1e-4)


def test_padding_moved_to_the_left_leaves_the_published_logits(model):
    ids, real, logits = (FORWARD[f"c_right_pad.{name}"] for name in ("ids", "attention_mask", "logits"))
    for row in range(len(ids)):
        length = int(real[row].sum())
        order = torch.cat((torch.arange(length, ids.shape[1]), torch.arange(length)))  # pads first
        with torch.no_grad():
            moved = model(ids[row, order][None], real[row, order][None]).logits[0, -length:]
        torch.testing.assert_close(moved, logits[row, :length], rtol=0, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("chunk_bytes", [None, 4096])
def test_loss_and_gradients_equal_the_recorded_ones(model, checkpointing, chunk_bytes):
    """The tied matrix's gradient holds both its uses."""
    model.model.gradient_checkpointing = checkpointing
    ids, t, mask = GRADIENTS["ids"], GRADIENTS["t"], GRADIENTS["mask"]
    assert torch.equal(forward_process(ids, mask, MASK), GRADIENTS["noisy"])
    loss = masked_diffusion_loss(
        model, ids, torch.ones_like(ids), t, mask, normalizer="batch_tokens", chunk_bytes=chunk_bytes
    )
    torch.testing.assert_close(loss, GRADIENTS["loss"][0], rtol=1e-6, atol=0)
    loss.backward()
    found = {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == {name for name in GRADIENTS if name.startswith("grad.")}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, GRADIENTS[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", GENERATED["cases"], ids=lambda case: f"{case['gen_length']}-{case['steps']}")
def test_greedy_output_equals_the_published_samplers(model, case):
    settings = SamplerConfig(**{name: case[name] for name in ("gen_length", "block_length", "steps")})
    result = generate(model, torch.tensor(case["prompt"]), config=settings)
    assert result.tokens.tolist() == case["output"]


@pytest.mark.parametrize("shard_size", ["5GB", "100KB"])
def test_what_is_saved_is_the_published_layout(model, tmp_path, shard_size):
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    saved = {name: tensor for file in tmp_path.glob("*.safetensors") for name, tensor in load_file(file).items()}
    published = load_file(DATA / "model.safetensors")
    assert saved.keys() == published.keys()  # no head: it is tied
    assert all(torch.equal(saved[name], published[name]) for name in published)
    config, given = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, DATA))
    changed = {"auto_map", "rope_scaling", "torch_dtype", "transformers_version"}
    assert {name: config[name] for name in given.keys() - changed} == {
        name: given[name] for name in given.keys() - changed
    }
    assert config.keys() - given.keys() == {"dtype", "mask_token_id"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path)  # it now names its mask token
    assert (again.config.mask_token_id, type(again)) == (MASK, type(model))
    ids = FORWARD["a_random.ids"]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)


def test_the_auto_classes_take_the_mask_token_by_hand_and_refuse_the_folder_without_it():
    assert AutoModelForCausalLM.from_pretrained(DATA, mask_token_id=MASK).config.mask_token_id == MASK
    for load in (AutoModelForCausalLM.from_pretrained, LLaDAModelLM.from_pretrained):
        with pytest.raises(CheckpointError, match=r"mask_token_id: not in config\.json.* set model\.mask_token_id"):
            load(DATA)
