"""iLLaDA's layout against the network written down a second time, plainly, from the published operations.

Other sizes than the recorded numbers have (`tests/oracle`): ratios of heads, a tied head and one of its own, one file
and shards, padding on the left, bfloat16. Nothing of the project computes the expected values.
"""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM

from llada import LLaDAModelLM, SamplerConfig, generate
from llada.diffusion.loss import masked_diffusion_loss

MASK, WORDS = 5, 77
SIZES = {  # hidden, heads, key-value heads, layers, inner width
    "no groups": (32, 4, 4, 1, 56),
    "groups of four": (64, 8, 2, 3, 104),
    "one key for all": (48, 6, 1, 2, 80),
}
IDS = torch.randint(6, WORDS, (3, 13), generator=torch.Generator().manual_seed(1))
LEFT = torch.tensor([[1] * 13, [0] * 4 + [1] * 9, [0] * 12 + [1]])


def published_config(sizes, tied):
    hidden, heads, kv_heads, layers, inner = sizes
    return {
        "architectures": ["ILLaDAForCausalLM"], "model_type": "illada", "torch_dtype": "float32",
        "auto_map": {"AutoModelForCausalLM": "modeling_illada.ILLaDAForCausalLM"},
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": hidden, "initializer_range": 0.02, "intermediate_size": inner, "layer_norm_eps": None,
        "max_position_embeddings": 8192, "mlp_bias": False, "num_attention_heads": heads, "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads, "pad_token_id": 1, "resid_pdrop": 0.0, "rms_norm_eps": 1e-6,
        "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": tied, "use_cache": False,
        "vocab_size": WORDS,
    }  # fmt: skip


def random_weights(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv_width = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens": (WORDS, hidden), "model.norm": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        shapes |= {
            f"model.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
                "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (kv_width, hidden),
                "self_attn.v_proj": (kv_width, hidden), "self_attn.o_proj": (hidden, hidden),
                "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
            }.items()
        }  # fmt: skip
    if not config["tie_word_embeddings"]:
        shapes["lm_head"] = (WORDS, hidden)
    generator = torch.Generator().manual_seed(0)
    drawn = {f"{name}.weight": torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: 0.15 * values if values.dim() > 1 else 1 + 0.2 * values for name, values in drawn.items()}


def write(folder, config, weights, shards):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return folder
    files = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    placed = {name: files[index % shards] for index, name in enumerate(weights)}
    for file in files:
        held = {name: weights[name] for name in weights if placed[name] == file}
        save_file(held, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def plain_logits(weights, config, ids, real=None):
    """(B, L, V): Llama's decoder without its causal mask; cos and sin are cast to the activations' type."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    width = config["hidden_size"] // heads
    rows, length = ids.shape

    def norm(x, name):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"])
        return weights[f"{name}.weight"] * wide.to(x.dtype)

    def rotated(x):
        half = width // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin

    x = weights["model.embed_tokens.weight"][ids]
    angles = torch.arange(length)[:, None] * config["rope_theta"] ** (-torch.arange(0, width, 2) / width)
    cos, sin = (torch.cat((table, table), dim=-1).to(x.dtype) for table in (angles.cos(), angles.sin()))
    bias = None
    if real is not None:  # positions count from the left edge; padding is a key that nobody sees
        bias = torch.zeros(rows, 1, 1, length, dtype=x.dtype)
        bias = bias.masked_fill(real[:, None, None, :] == 0, torch.finfo(x.dtype).min)
    for layer in range(config["num_hidden_layers"]):
        place = f"model.layers.{layer}"

        def linear(x, name, place=place):
            return x @ weights[f"{place}.{name}.weight"].T

        normed = norm(x, f"{place}.input_layernorm")
        query, key, value = (
            linear(normed, f"self_attn.{name}_proj").view(rows, length, -1, width).transpose(1, 2) for name in "qkv"
        )
        key, value = (each.repeat_interleave(heads // kv_heads, dim=1) for each in (rotated(key), value))
        attended = F.scaled_dot_product_attention(rotated(query), key, value, attn_mask=bias)
        x = x + linear(attended.transpose(1, 2).reshape(rows, length, -1), "self_attn.o_proj")
        normed = norm(x, f"{place}.post_attention_layernorm")
        x = x + linear(F.silu(linear(normed, "mlp.gate_proj")) * linear(normed, "mlp.up_proj"), "mlp.down_proj")
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(x, "model.norm") @ head.T


@pytest.fixture(params=[(name, tied) for name in SIZES for tied in (True, False)], ids=str)
def case(request, tmp_path):
    """Config, weights, and the folder that holds them: one file where the head is tied, else three shards."""
    name, tied = request.param
    config = published_config(SIZES[name], tied)
    weights = random_weights(config)
    return config, weights, write(tmp_path / "base", config, weights, shards=1 if tied else 3)


@torch.no_grad()
def test_logits_are_those_of_the_plain_network(case):
    config, weights, folder = case
    model = AutoModelForCausalLM.from_pretrained(folder, mask_token_id=MASK, dtype=torch.float32)
    torch.testing.assert_close(model(IDS).logits, plain_logits(weights, config, IDS), rtol=0, atol=1e-5)
    for real in (LEFT, LEFT.flip(1)):
        got, expected = model(IDS, attention_mask=real).logits, plain_logits(weights, config, IDS, real)
        torch.testing.assert_close(got[real == 1], expected[real == 1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_bfloat16_logits_are_those_of_the_plain_network_padded_on_the_left_too(case):
    config, weights, folder = case
    narrow = {name: tensor.bfloat16() for name, tensor in weights.items()}
    model = LLaDAModelLM.from_pretrained(folder, mask_token_id=MASK, dtype=torch.bfloat16)
    assert torch.equal(model(IDS).logits, plain_logits(narrow, config, IDS))
    got, expected = model(IDS, LEFT).logits, plain_logits(narrow, config, IDS, LEFT)
    assert torch.equal(got[LEFT == 1], expected[LEFT == 1])


def test_loss_and_gradients_are_those_of_the_plain_network(case):
    config, weights, folder = case
    model = AutoModelForCausalLM.from_pretrained(folder, mask_token_id=MASK, dtype=torch.float32)
    t = torch.tensor([0.3, 0.6, 0.9])
    mask = torch.rand(IDS.shape, generator=torch.Generator().manual_seed(2)) < t[:, None]
    masked_diffusion_loss(model, IDS, torch.ones_like(IDS), t, mask, normalizer="batch_tokens").backward()

    own = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    logits = plain_logits(own, config, IDS.masked_fill(mask, MASK))
    each = F.cross_entropy(logits.transpose(1, 2), IDS, reduction="none")
    loss = (each / t[:, None])[mask].sum() / IDS.numel()
    loss.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == own.keys()
    for name, tensor in own.items():
        torch.testing.assert_close(found[name], tensor.grad, rtol=0, atol=1e-6)


@torch.no_grad()
def test_greedy_tokens_are_those_of_the_plain_sampler(case):
    """The published quota sampler, two tokens per step, in two blocks."""
    config, weights, folder = case
    model = AutoModelForCausalLM.from_pretrained(folder, mask_token_id=MASK, dtype=torch.float32)
    settings = SamplerConfig(gen_length=8, block_length=4, steps=4)
    prompt = IDS[:, :5]
    ids = torch.cat((prompt, torch.full((3, 8), MASK)), dim=1)
    for block in (slice(5, 9), slice(9, 13)):
        for _ in range(2):
            logits = plain_logits(weights, config, ids)
            probabilities = logits.double().softmax(-1)
            logits[..., MASK] = -torch.inf  # it is never chosen, and counts in the confidence
            chosen = logits.argmax(-1)
            confidence = probabilities.gather(-1, chosen[..., None])[..., 0]
            inside = torch.zeros_like(ids, dtype=torch.bool)
            inside[:, block] = ids[:, block] == MASK
            for row in range(3):
                best = confidence[row].masked_fill(~inside[row], -1).topk(2).indices
                ids[row, best] = chosen[row, best]
    assert generate(model, prompt, config=settings).tokens.tolist() == ids.tolist()
