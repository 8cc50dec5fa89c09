"""Causal models through transformers' own classes: the loss, exact likelihoods, answers, and what is refused."""

import itertools
import json
import math

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from causal.generation import generate_causal
from causal.likelihood import exact_log_likelihoods
from causal.loss import causal_loss
from causal.network import load_causal, read_causal_config, shape_of
from llada.errors import CheckpointError
from llada.network.checkpoint import published_shapes
from tests.support.small_world import small_model

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16]]


@pytest.fixture(scope="module")
def model():
    return small_model(kind="llama")


@pytest.mark.parametrize("frozen", [True, False])
def test_loss_and_gradients_are_transformers_own(model, frozen):
    """The frozen head takes the path in slices, a trainable one is called."""
    wide = small_model(kind="llama").double()
    wide.lm_head.weight.requires_grad_(not frozen)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 60, (3, 12), generator=generator)
    wanted = torch.arange(12)[None] >= torch.tensor([[4], [0], [9]])
    wanted[1, 8:] = False  # padding
    ours = causal_loss(wide, ids, wanted, "batch_tokens", chunk_bytes=8 * 24)
    parameters = [one for one in wide.parameters() if one.requires_grad]
    slopes = torch.autograd.grad(ours, parameters)
    theirs = wide(input_ids=ids, labels=ids.masked_fill(~wanted, -100)).loss
    expected = torch.autograd.grad(theirs, parameters)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    for one, other in zip(slopes, expected, strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()


def test_each_row_counts_alike_or_each_token(model):
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 0]])
    wanted = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 0]])
    logs = model(ids).logits.log_softmax(-1)
    first = [-logs[0, at - 1, ids[0, at]] for at in (1, 2, 3)]
    second = -logs[1, 1, 9]
    rows = causal_loss(model, ids, wanted)
    assert float(rows.detach()) == pytest.approx(float((sum(first) / 3 + second) / 2), rel=1e-5)
    tokens = causal_loss(model, ids, wanted, "batch_tokens")
    assert float(tokens.detach()) == pytest.approx(float((sum(first) + second) / 4), rel=1e-5)
    halves = [causal_loss(model, ids[i : i + 1], wanted[i : i + 1], total=2) for i in range(2)]
    assert float(sum(halves)) == pytest.approx(float(rows), rel=1e-5)


def test_likelihoods_of_all_answers_of_two_tokens_sum_to_one():
    tiny = small_model(kind="llama", vocab_size=7, eos_token_id=1, pad_token_id=1, bos_token_id=1)
    answers = [list(pair) for pair in itertools.product(range(7), repeat=2)]
    found = exact_log_likelihoods(tiny, [[3, 2, 6]] * len(answers), answers, max_tokens=40)
    assert sum(math.exp(one.estimate) for one in found) == pytest.approx(1.0, abs=1e-5)
    assert {one.standard_error for one in found} == {0.0}


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_do_not_depend_on_the_batches(model, temperature):
    wide = small_model(kind="llama").double()

    def answers(budget):
        settings = {"longest": 9, "stops": {61, 17}, "pad": 61, "temperature": temperature, "seed": 4}
        batches = list(generate_causal(wide, PROMPTS, token_budget=budget, **settings))
        return {item: row for batch in batches for item, row in zip(batch.items, batch.answers, strict=True)}

    alone, together = answers(1), answers(10_000)
    assert alone == together
    for prompt, answer in zip(PROMPTS, [alone[item] for item in range(4)], strict=True):
        if temperature:
            continue
        ids = torch.tensor([prompt])
        for token in answer:  # by hand, without a cache
            assert int(wide(ids).logits[0, -1].argmax()) == token
            ids = torch.cat((ids, torch.tensor([[token]])), dim=1)


def test_draws_follow_the_softmax():
    tiny = small_model(kind="llama", vocab_size=5, eos_token_id=1, pad_token_id=1, bos_token_id=1).double()
    [one] = generate_causal(
        tiny, [[3, 2]] * 2000, longest=1, stops=set(), pad=1, temperature=0.7, seed=3, token_budget=10**6
    )
    counts = torch.bincount(torch.tensor(one.answers)[:, 0], minlength=5) / 2000
    expected = (tiny(torch.tensor([[3, 2]])).logits[0, -1] / 0.7).softmax(-1)
    assert (counts - expected).abs().max() < 4 * 0.5 / math.sqrt(2000)


def test_what_is_loaded_is_what_was_saved_and_sizes_are_counted(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = load_causal(tmp_path)
    assert torch.equal(loaded(torch.tensor([[3, 4]])).logits, model(torch.tensor([[3, 4]])).logits)
    counted = sum(map(math.prod, published_shapes(shape_of(read_causal_config(tmp_path))).values()))
    assert counted == sum(one.numel() for one in loaded.parameters())
    qwen = Qwen2ForCausalLM(Qwen2Config(**{key: getattr(model.config, key) for key in (
        "hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "intermediate_size",
        "vocab_size", "max_position_embeddings",
    )}))  # fmt: skip
    qwen.save_pretrained(tmp_path / "qwen")
    assert type(load_causal(tmp_path / "qwen")) is Qwen2ForCausalLM


def test_what_cannot_be_a_twin_is_refused_in_one_line(model, tmp_path):
    def refusal(folder):
        with pytest.raises(CheckpointError) as caught:
            load_causal(folder)
        assert len(str(caught.value).splitlines()) == 1
        return str(caught.value)

    assert "no config.json" in refusal(tmp_path)
    small_model().save_pretrained(tmp_path / "diffusion")
    assert "is a diffusion model" in refusal(tmp_path / "diffusion")
    small = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1}
    config = Gemma2Config(**small, intermediate_size=48, vocab_size=40, head_dim=16, final_logit_softcapping=0.5)
    torch.manual_seed(0)
    Gemma2ForCausalLM(config).save_pretrained(tmp_path / "gemma")
    assert "scales or caps its logits" in refusal(tmp_path / "gemma")
    model.save_pretrained(tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    assert "pickled" in refusal(tmp_path / "pickled")
    bigger = LlamaForCausalLM(type(model.config)(**model.config.to_dict() | {"num_hidden_layers": 3}))
    bigger.config.save_pretrained(tmp_path / "short")
    model.save_pretrained(tmp_path / "whole")
    (tmp_path / "whole" / "model.safetensors").rename(tmp_path / "short" / "model.safetensors")
    assert "tensors are missing" in refusal(tmp_path / "short")
    foreign = {"model_type": "mystery", "auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text(json.dumps(foreign))
    assert "never run" in refusal(tmp_path / "foreign")
