"""The published config fields: read, written, and refused by name where the network does not implement them."""

import json

import pytest
import torch

from llada import LLaDAConfig, LLaDAModelLM
from llada.network.checkpoint import published_shapes
from llada.network.configuration import ILLaDAConfig
from llada.network.modeling import network_of
from tests.support.llama_twin import KINDS, config_of, tiny_config, tiny_illada_config

# Every field of the published LLaDA-8B config.json.
PUBLISHED = {
    "activation_type": "silu", "alibi": False, "alibi_bias_max": 8.0, "architectures": ["LLaDAModelLM"],
    "attention_dropout": 0.0, "attention_layer_norm": False, "attention_layer_norm_with_affine": True,
    "auto_map": {"AutoConfig": "configuration_llada.LLaDAConfig", "AutoModel": "modeling_llada.LLaDAModelLM"},
    "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "d_model": 4096,
    "embedding_dropout": 0.0, "embedding_size": 126464, "eos_token_id": 126081, "flash_attention": False,
    "include_bias": False, "include_qkv_bias": False, "init_cutoff_factor": None, "init_device": "meta",
    "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": False, "layer_norm_type": "rms",
    "layer_norm_with_affine": True, "mask_token_id": 126336, "max_sequence_length": 4096, "mlp_hidden_size": 12288,
    "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": None, "n_heads": 32, "n_kv_heads": 32,
    "n_layers": 32, "pad_token_id": 126081, "precision": "amp_bf16", "residual_dropout": 0.0, "rms_norm_eps": 1e-05,
    "rope": True, "rope_full_precision": True, "rope_theta": 500000.0, "scale_logits": False,
    "torch_dtype": "bfloat16", "transformers_version": "4.46.3", "use_cache": False, "vocab_size": 126464,
    "weight_tying": False,
}  # fmt: skip
UNIMPLEMENTED = {
    "activation_type": "gelu", "alibi": True, "attention_dropout": 0.1, "attention_layer_norm": True,
    "bias_for_layer_norm": True, "block_group_size": 2, "block_type": "sequential", "embedding_dropout": 0.1,
    "include_bias": True, "include_qkv_bias": True, "init_fn": "kaiming_normal", "input_emb_norm": True,
    "layer_norm_type": "default", "layer_norm_with_affine": False, "multi_query_attention": True,
    "residual_dropout": 0.1, "rope": False, "rope_full_precision": False, "scale_logits": True, "use_cache": True,
    "qk_norm": True, "rope_scaling": {"type": "linear", "factor": 2.0}, "sliding_window": 512,
}  # fmt: skip


def test_published_config_loads_and_survives_a_round_trip(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    config = LLaDAConfig.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    rewritten = ("auto_map", "torch_dtype", "transformers_version")
    assert {name: written[name] for name in PUBLISHED if name not in rewritten} == {
        name: value for name, value in PUBLISHED.items() if name not in rewritten
    }
    assert "auto_map" not in written  # it points to remote code, which is never run
    assert config.dtype == torch.bfloat16


def test_defaults_are_the_8b_network_with_its_published_size():
    with torch.device("meta"):
        model = LLaDAModelLM(LLaDAConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_015_581_184
    assert len(model.state_dict()) == 291


def test_illadas_defaults_are_the_8b_network_with_its_published_size():
    with torch.device("meta"):
        model = network_of(ILLaDAConfig())
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e9, 2) == 7.62
    assert (model.config.mask_token_id, model.config.eos_token_id) == (5, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changes", [{}, {"n_kv_heads": 1}, {"n_layers": 3, "vocab_size": 128}])
def test_published_shapes_are_those_of_the_network(kind, changes):
    config = config_of(kind, **changes)
    state = network_of(config).state_dict()
    if config.weight_tying:
        state.pop(f"{config.layout.head}.weight")  # no tensor of its own
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == published_shapes(config)


@pytest.mark.parametrize("name", UNIMPLEMENTED)
def test_unimplemented_field_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"^{name}: "):
        tiny_config(**{name: UNIMPLEMENTED[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_act", "gelu"), ("attention_bias", True), ("mlp_bias", True), ("attention_dropout", 0.1),
        ("resid_pdrop", 0.1), ("layer_norm_eps", 1e-5), ("use_cache", True), ("sliding_window", 512),
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0}), ("head_dim", 16), ("num_key_value_heads", 3),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}), ("hidden_size", 50), ("block_type", "llama"),
    ],
)  # fmt: skip
def test_illadas_unimplemented_field_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"{name}"):
        tiny_illada_config(**{name: value})


def test_illadas_theta_is_read_where_transformers_5_writes_it():
    assert tiny_illada_config(rope_parameters={"rope_type": "default", "rope_theta": 1e4}).rope_theta == 1e4
    assert tiny_illada_config(rope_scaling=None, head_dim=12).rope_theta == 500000.0


def test_all_faults_come_at_once():
    with pytest.raises(ValueError, match="alibi") as caught:
        tiny_config(alibi=True, include_bias=True, n_heads=5, n_kv_heads=5)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["n_heads", "alibi", "include_bias"]


@pytest.mark.parametrize("name", ["qk_norm", "sliding_window", "rope_scaling"])
@pytest.mark.parametrize("off", [None, False])
def test_unknown_field_that_is_off_asks_for_nothing(name, off):
    assert tiny_config(**{name: off}).n_layers == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_heads": 7}, "n_heads"),
        ({"n_kv_heads": 3}, "n_kv_heads"),
        ({"embedding_size": 8}, "embedding_size"),
        ({"d_model": 0}, "d_model"),
        ({"n_layers": 1.5}, "n_layers"),
        ({"d_model": 12, "n_heads": 4}, "n_heads"),  # heads of width 3 have no halves to rotate
    ],
)
def test_impossible_sizes_are_refused(changes, field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        tiny_config(**changes)


def test_absent_sizes_follow_from_the_others():
    config = tiny_config(n_kv_heads=None, mlp_hidden_size=None, mlp_ratio=3, embedding_size=None)
    assert (config.n_kv_heads, config.mlp_hidden_size, config.embedding_size) == (4, 144, 96)


def test_transformers_names_reach_the_published_fields():
    config = tiny_config(weight_tying=True)
    assert (config.hidden_size, config.num_hidden_layers, config.num_key_value_heads) == (48, 2, 2)
    assert config.tie_word_embeddings is True


@pytest.mark.parametrize("init_fn", ["mitchell", "normal"])
def test_fresh_weights_have_the_deviation_of_their_init_fn(init_fn):
    torch.manual_seed(0)
    model = LLaDAModelLM(tiny_config(d_model=128, n_layers=3, n_kv_heads=4, init_fn=init_fn, init_std=0.03))
    for layer, block in enumerate(model.model.transformer.blocks):
        inner, end = block.q_proj.weight.std().item(), block.attn_out.weight.std().item()
        if init_fn == "normal":
            assert (inner, end) == (pytest.approx(0.03, rel=0.05), pytest.approx(0.03, rel=0.05))
        else:
            assert inner == pytest.approx(128**-0.5, rel=0.06)
            assert end == pytest.approx((2 * 128 * (layer + 1)) ** -0.5, rel=0.06)
