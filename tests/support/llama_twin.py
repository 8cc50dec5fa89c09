"""An independent second network: transformers' own Llama, without its causal mask, on the weights of a LLaDA model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from llada import LLaDAConfig
from llada.network.configuration import ILLaDAConfig
from llada.network.modeling import network_of

MASK, EOS = 90, 91
KINDS = ("llada", "illada")
LLAMA = {
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ff_norm": "post_attention_layernorm",
}


def tiny_config(**changes: Any) -> LLaDAConfig:
    sizes = {"d_model": 48, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "mlp_hidden_size": 80, "vocab_size": 96}
    ids = {"mask_token_id": MASK, "eos_token_id": EOS, "pad_token_id": EOS}
    return LLaDAConfig(**(sizes | ids | changes))


def tiny_illada_config(**changes: Any) -> ILLaDAConfig:
    """The same sizes as `tiny_config` and other token ids, under iLLaDA's names; changes under either."""
    names = ILLaDAConfig.attribute_map
    sizes = {"d_model": 48, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "mlp_hidden_size": 80, "vocab_size": 96}
    ids = {"mask_token_id": 5, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0}
    return ILLaDAConfig(**{names.get(name, name): value for name, value in (sizes | ids | changes).items()})


def config_of(kind: str, **changes: Any) -> LLaDAConfig:
    return tiny_config(**changes) if kind == "llada" else tiny_illada_config(**changes)


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float32, kind: str = "llada", **changes: Any) -> Any:
    """A random network with norm weights unlike one, so that a misplaced norm shows."""
    generator = torch.Generator().manual_seed(seed)
    model: Any = network_of(config_of(kind, **changes)).to(dtype).eval()  # type: ignore[arg-type]
    for parameter in model.parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
        parameter.data.copy_(1 + 0.2 * values if parameter.dim() == 1 else 0.15 * values)
    return model


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, MASK, (rows, length), generator=torch.Generator().manual_seed(seed))


def llama_twin(model: Any) -> LlamaForCausalLM:
    config = model.config
    twin = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=config.d_model,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            intermediate_size=config.mlp_hidden_size,
            vocab_size=config.embedding_size,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        )
    )
    weights, layout = model.state_dict(), model.config.layout
    renamed = {
        f"{theirs}.weight": weights[f"{ours}.weight"]
        for ours, theirs in ((layout.embedding, "model.embed_tokens"), (layout.norm, "model.norm"))
    } | {"lm_head.weight": weights[f"{layout.head}.weight"]}
    for layer in range(config.n_layers):
        for name, theirs in LLAMA.items():
            renamed[f"model.layers.{layer}.{theirs}.weight"] = weights[f"{layout.part(layer, name)}.weight"]
    twin.load_state_dict(renamed)
    twin = twin.to(model.dtype).eval()
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32)  # loading keeps them so, `to` rounds them
    twin.model.rotary_emb.inv_freq = 1.0 / config.rope_theta ** (steps / config.head_dim)
    return twin


def twin_output(twin: LlamaForCausalLM, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
    """Bidirectional: an additive mask of zeros, minus infinity where a key is padding; positions from the left edge."""
    B, L = input_ids.shape
    bias = torch.zeros(B, 1, L, L, dtype=twin.dtype)
    if attention_mask is not None:
        bias = bias.masked_fill(attention_mask[:, None, None, :] == 0, torch.finfo(twin.dtype).min)
    with torch.no_grad():
        return twin(input_ids, attention_mask=bias, output_hidden_states=True, use_cache=False)
