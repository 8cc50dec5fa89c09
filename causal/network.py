"""A causal language model of transformers: is the folder whole and of a kind that we can train, and loading it.

Adapters go on the projections of Llama's block, by the names that Llama, Mistral, Qwen and their descendants share. So
that the loss can be computed without all logits (`causal.loss`), these must be the head applied to the last hidden
state and nothing else; a network that scales or caps them is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.errors import raise_if_unreadable
from common.files import model_files
from llada.errors import CheckpointError
from llada.network.configuration import CONFIGS, ILLaDAConfig
from llada.network.layout import ILLADA

LLAMA = ILLADA
"""Where Llama's network keeps its parts; iLLaDA took the names from it."""
PROBE = 8  # tokens on which the head is compared with the logits


def read_causal_config(folder: Path) -> Any:
    """The configuration of a causal language model that transformers knows by itself.

    Raises:
        CheckpointError: no config.json, a damaged one, or a kind that is not causal or would need foreign code.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    path = folder / "config.json"
    try:
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no config.json; give the folder of a causal language model") from None
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    if kind in CONFIGS:
        raise CheckpointError(f"{path}: model_type: {kind!r} is a diffusion model; the twin must be a causal one")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise CheckpointError(
            f"{path}: model_type: {kind!r}; transformers has no causal language model of this kind, and code that "
            "comes with a checkpoint is never run"
        )
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise_if_unreadable(path, error)
        raise CheckpointError(f"{path}: {' '.join(str(error).split())[:160]}") from None


def check_causal_folder(folder: Path) -> None:
    """Raises CheckpointError unless the folder holds such a model with safetensors weights and Llama's block."""
    from transformers import AutoModelForCausalLM

    config = read_causal_config(folder)
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder}: no weights (*.safetensors); pickled ones are never loaded")
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    names = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    parts = [name for name in LLAMA.parts if not name.endswith("_norm")]
    layers = range(int(config.num_hidden_layers))
    missing = [path for layer in layers for part in parts if (path := LLAMA.part(layer, part)) not in names]
    if missing:
        raise CheckpointError(
            f"{folder}: {config.model_type} has no linear {missing[0]}; the twin needs the projections of Llama's block"
        )


def load_causal(folder: Path, dtype: torch.dtype | str = torch.float32) -> Any:
    """The model from a folder, by transformers' class of its kind: safetensors alone, no foreign code, every tensor
    there. On the CPU, in eval mode.

    Args:
        dtype: "auto" takes that of the file.

    Raises:
        CheckpointError: see `check_causal_folder`; a tensor is missing or misshapen; logits that are not the head's.
    """
    from transformers import AutoModelForCausalLM

    check_causal_folder(folder)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (ValueError, OSError, RuntimeError) as error:
        for file in model_files(folder):
            raise_if_unreadable(file, error)
        raise CheckpointError(f"{folder}: {' '.join(str(error).split())[:200]}") from None
    network, info = loaded  # as output_loading_info asks for
    absent = sorted(info["missing_keys"]) + sorted(str(one) for one in info["mismatched_keys"])
    if absent:
        raise CheckpointError(f"{folder}: {len(absent)} tensors are missing or misshapen, first {absent[0]}")
    network.eval()
    _check_head(network, folder)
    return network


@torch.no_grad()
def _check_head(network: Any, folder: Path) -> None:
    ids = torch.arange(PROBE)[None] % network.config.vocab_size
    logits = network(input_ids=ids, use_cache=False).logits.float()
    ours = network.get_output_embeddings()(hidden_states(network, ids)).float()
    if logits.shape != ours.shape or not torch.allclose(logits, ours, rtol=1e-2, atol=1e-2 * float(logits.abs().max())):
        raise CheckpointError(
            f"{folder}: {network.config.model_type} scales or caps its logits, which the loss here does not; take "
            "another twin"
        )


def hidden_states(network: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """Hidden states after the final norm, (B, L, D): the forward pass without the head."""
    body = getattr(network, network.base_model_prefix)
    return body(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state


def causal_network(model: Any) -> Any:
    """The network inside a peft model (its adapters stay active), or the network itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def shape_of(config: Any) -> ILLaDAConfig:
    """The sizes of a Llama-like network as a configuration of ours, for what is counted from sizes (memory, weights).

    Biases of the projections are not counted.
    """
    return ILLaDAConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        max_position_embeddings=config.max_position_embeddings,
        tie_word_embeddings=bool(config.tie_word_embeddings),
        mask_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        bos_token_id=0,
    )
