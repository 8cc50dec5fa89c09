"""Where a published checkpoint keeps the parts of the network: one block, two sets of names.

LLaDA's names are OLMo's, iLLaDA's are Llama's. The block and what runs it are the same code; parts of a block go by
LLaDA's names everywhere in this project (`methods.<M>.targets`), and by the published ones in checkpoints and adapters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Layout:
    """Module paths, from the whole model; those of `parts` from a block.

    Attributes:
        parts: name of a block's part -> its path, in the order in which the modules are made.
    """

    embedding: str
    blocks: str
    norm: str
    head: str
    parts: Mapping[str, str]

    def part(self, layer: int, name: str) -> str:
        """The path of a part of one block: `model.layers.3.self_attn.q_proj` for (3, "q_proj")."""
        return f"{self.blocks}.{layer}.{self.parts[name]}"


LLADA = Layout(
    embedding="model.transformer.wte",
    blocks="model.transformer.blocks",
    norm="model.transformer.ln_f",
    head="model.transformer.ff_out",
    parts={
        name: name
        for name in (
            "attn_norm", "q_proj", "k_proj", "v_proj", "attn_out", "ff_norm", "ff_proj", "up_proj", "ff_out",
        )
    },
)  # fmt: skip
ILLADA = Layout(
    embedding="model.embed_tokens",
    blocks="model.layers",
    norm="model.norm",
    head="lm_head",
    parts={
        "attn_norm": "input_layernorm",
        "q_proj": "self_attn.q_proj",
        "k_proj": "self_attn.k_proj",
        "v_proj": "self_attn.v_proj",
        "attn_out": "self_attn.o_proj",
        "ff_norm": "post_attention_layernorm",
        "ff_proj": "mlp.gate_proj",
        "up_proj": "mlp.up_proj",
        "ff_out": "mlp.down_proj",
    },
)


def place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a dotted path; the containers on the way are made."""
    *containers, name = path.split(".")
    for container in containers:
        if not hasattr(root, container):
            root.add_module(container, nn.Module())
        root = getattr(root, container)
    root.add_module(name, module)


def at(root: nn.Module, path: str) -> Any:
    """The module at a dotted path."""
    for name in path.split("."):
        root = getattr(root, name)
    return root
