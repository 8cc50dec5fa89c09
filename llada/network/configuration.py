"""The published LLaDA `config.json`, field by field.

The fields are OLMo's. This network implements the choices that LLaDA makes; a field that asks for another one is
refused by name, and so is a field that nobody here knows, because ignoring either would load a different model
without a word.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

# What the network does, and therefore all that a checkpoint may ask for.
_IMPLEMENTED: dict[str, tuple[Any, ...]] = {
    "activation_type": ("silu",),
    "alibi": (False,),
    "attention_dropout": (0.0,),
    "attention_layer_norm": (False,),
    "bias_for_layer_norm": (False, None),
    "block_group_size": (1,),
    "block_type": ("llama",),
    "embedding_dropout": (0.0,),
    "include_bias": (False,),
    "include_qkv_bias": (False,),
    "init_fn": ("mitchell", "normal"),
    "input_emb_norm": (False,),
    "layer_norm_type": ("rms",),
    "layer_norm_with_affine": (True,),
    "multi_query_attention": (None, False),
    "residual_dropout": (0.0,),
    "rope": (True,),
    "rope_full_precision": (True,),
    "scale_logits": (False,),
    "use_cache": (False,),
}
# Fields without influence on what the network computes: initialisation, kernels, settings of options that are off.
_WITHOUT_EFFECT: dict[str, Any] = {
    "alibi_bias_max": 8.0,
    "attention_layer_norm_with_affine": True,
    "flash_attention": False,
    "init_cutoff_factor": None,
    "init_device": "meta",
    "precision": "amp_bf16",
}
# Fields of transformers itself, its loaders and older versions of it.
_OF_TRANSFORMERS = {
    "architectures",
    "attn_implementation",
    "chunk_size_feed_forward",
    "distributed_config",
    "dtype",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "quantization_config",
    "return_dict",
    "torch_dtype",
    "transformers_version",
}


class LLaDAConfig(PretrainedConfig):
    """Sizes, token ids and the fixed choices of a LLaDA network; the defaults are LLaDA-8B's.

    Args:
        d_model: D, the width. n_layers, n_heads: as named. n_kv_heads: key/value heads; None means `n_heads`.
        mlp_hidden_size: width of the gated MLP; None means `mlp_ratio * d_model`.
        vocab_size: ids in use. embedding_size: rows of embedding and head, V of the logits; None means `vocab_size`.
        max_sequence_length: length the model was trained for. rope_theta, rms_norm_eps: as named.
        weight_tying: the head is the embedding's matrix.
        mask_token_id, eos_token_id, pad_token_id, bos_token_id, eot_token_id: ids; the last two may be None.
        init_std, init_fn: how `LLaDAModelLM(config)` draws fresh weights ("mitchell" or "normal").

    Raises:
        ValueError: a field asks for something that the network does not implement (ALiBi, biases, dropout, q/k
            norms, other block types ...), or sizes that do not divide. One line per field.
    """

    model_type = "llada"
    attribute_map = {  # noqa: RUF012 (transformers reads a plain class attribute)
        "hidden_size": "d_model",
        "intermediate_size": "mlp_hidden_size",
        "max_position_embeddings": "max_sequence_length",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "num_key_value_heads": "n_kv_heads",
        "tie_word_embeddings": "weight_tying",
    }

    def __init__(
        self,
        d_model: int = 4096,
        n_layers: int = 32,
        n_heads: int = 32,
        n_kv_heads: int | None = None,
        mlp_hidden_size: int | None = 12288,
        mlp_ratio: int = 4,
        vocab_size: int = 126464,
        embedding_size: int | None = None,
        max_sequence_length: int = 4096,
        rope_theta: float = 500000.0,
        rms_norm_eps: float = 1e-5,
        weight_tying: bool = False,
        mask_token_id: int = 126336,
        eos_token_id: int | None = 126081,
        pad_token_id: int | None = 126081,
        bos_token_id: int | None = None,
        eot_token_id: int | None = None,
        init_std: float = 0.02,
        init_fn: str = "mitchell",
        **kwargs: Any,
    ) -> None:
        self.d_model = d_model
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.mlp_hidden_size = mlp_ratio * d_model if mlp_hidden_size is None else mlp_hidden_size
        self.mlp_ratio = mlp_ratio
        self.vocab_size = vocab_size
        self.embedding_size = vocab_size if embedding_size is None else embedding_size
        self.max_sequence_length = max_sequence_length
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        self.weight_tying = bool(kwargs.pop("tie_word_embeddings", False)) or weight_tying
        self.mask_token_id = mask_token_id
        self.eos_token_id = eos_token_id
        self.pad_token_id = pad_token_id
        self.bos_token_id = bos_token_id
        self.eot_token_id = eot_token_id
        self.init_std = init_std
        choices = {"init_fn": init_fn}
        choices |= {name: kwargs.pop(name, allowed[0]) for name, allowed in _IMPLEMENTED.items() if name != "init_fn"}
        choices |= {name: kwargs.pop(name, default) for name, default in _WITHOUT_EFFECT.items()}
        kwargs.pop("auto_map", None)  # points to the published remote code, which is never run
        faults = [*self._size_faults(), *_unimplemented(choices), *_unknown(kwargs)]
        if faults:
            raise ValueError("\n".join(faults))
        for name, value in choices.items():
            setattr(self, name, value)
        super().__init__(**kwargs)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    def to_diff_dict(self) -> dict[str, Any]:
        """All fields of the published layout, not only those that differ from the defaults of this version."""
        every = self.to_dict()
        published = {"model_type", "vocab_size", "embedding_size", *_IMPLEMENTED, *_WITHOUT_EFFECT, *_SIZES}
        return super().to_diff_dict() | {name: every[name] for name in sorted(published) if name in every}

    def _size_faults(self) -> list[str]:
        faults = []
        for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "mlp_hidden_size", "vocab_size", "embedding_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                faults.append(f"{name}: {value!r}; must be a whole number of at least 1")
        if faults:
            return faults
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            faults.append(f"n_heads: {self.n_heads}; d_model {self.d_model} must divide into heads of an even width")
        if self.n_heads % self.n_kv_heads:
            faults.append(f"n_kv_heads: {self.n_kv_heads}; must divide n_heads {self.n_heads}")
        if self.embedding_size < self.vocab_size:
            faults.append(f"embedding_size: {self.embedding_size}; must be at least vocab_size {self.vocab_size}")
        return faults


_SIZES = (
    "d_model",
    "eos_token_id",
    "init_std",
    "mask_token_id",
    "max_sequence_length",
    "mlp_hidden_size",
    "mlp_ratio",
    "n_heads",
    "n_kv_heads",
    "n_layers",
    "pad_token_id",
    "rms_norm_eps",
    "rope_theta",
    "weight_tying",
)


def _unimplemented(choices: dict[str, Any]) -> list[str]:
    faults = []
    for name, allowed in _IMPLEMENTED.items():
        if choices[name] in allowed:
            continue
        options = " or ".join(repr(option) for option in allowed)
        cure = "; write n_kv_heads: 1 instead" if name == "multi_query_attention" else ""
        faults.append(f"{name}: {choices[name]!r} is not implemented; this network has {options}{cure}")
    return faults


def _unknown(fields: dict[str, Any]) -> list[str]:
    """Fields that are neither LLaDA's nor transformers' own; one that is off (None, False) asks for nothing."""
    return [
        f"{name}: {value!r}; unknown field, so not implemented; remove it if the weights do not depend on it"
        for name, value in fields.items()
        if value not in (None, False) and name not in _OF_TRANSFORMERS and not name.startswith("_")
    ]
