"""The published `config.json` of LLaDA and of iLLaDA, field by field.

LLaDA's fields are OLMo's, iLLaDA's are Llama's. This network implements the choices that they make; a field that asks
for another one is refused by name, and so is a field that nobody here knows, because ignoring either would load a
different model without a word. Inside the project the fields of both go by LLaDA's names.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig

from llada.network.layout import ILLADA, LLADA
from llada.network.published import known_token_ids

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
        mask_token_id, eos_token_id, pad_token_id, bos_token_id: ids; one that is not given is the published one where
            kind and vocabulary are a published base's, else None. eot_token_id: end of a turn, where there is one.
        tail_token_ids: what an adapter writes behind the end of an answer (`llada.network.tail_tokens`), or None.
        init_std, init_fn: how `LLaDAModelLM(config)` draws fresh weights ("mitchell" or "normal").

    Raises:
        ValueError: a field asks for something that the network does not implement (ALiBi, biases, dropout, q/k
            norms, other block types ...), or sizes that do not divide. One line per field.
    """

    model_type = "llada"
    layout = LLADA
    positions_from_edge = False
    """Where a row is padded on the left: do its positions count from the edge, or from its first token?"""
    _implemented = _IMPLEMENTED
    _without_effect = _WITHOUT_EFFECT
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
        mask_token_id: int | None = None,
        eos_token_id: int | None = None,
        pad_token_id: int | None = None,
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
        given = {"mask": mask_token_id, "eos": eos_token_id, "pad": pad_token_id, "bos": bos_token_id}
        known = known_token_ids(self.model_type, self.embedding_size)
        for name, token in given.items():
            setattr(self, f"{name}_token_id", known.get(f"{name}_token_id") if token is None else token)
        self.eot_token_id = eot_token_id
        self.init_std = init_std
        kwargs = {"init_fn": init_fn} | kwargs
        choices = {name: kwargs.pop(name, allowed[0]) for name, allowed in self._implemented.items()}
        choices |= {name: kwargs.pop(name, default) for name, default in self._without_effect.items()}
        self.tail_token_ids = _token_list(kwargs.pop("tail_token_ids", None))
        kwargs.pop("auto_map", None)  # points to the published remote code, which is never run
        faults = [*self._size_faults(), *_unimplemented(choices, self._implemented), *_unknown(kwargs)]
        if faults:
            raise ValueError("\n".join(faults))
        for name, value in choices.items():
            setattr(self, name, value)
        kwargs.pop("rope_scaling", None)  # it is off; transformers 5 would turn it into `rope_parameters`
        super().__init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Without `tail_token_ids` where there are none, as published."""
        return {key: value for key, value in super().to_dict().items() if key != "tail_token_ids" or value is not None}

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    def to_diff_dict(self) -> dict[str, Any]:
        """All fields of the published layout, not only those that differ from the defaults of this version."""
        every = self.to_dict()
        published = {"model_type", *map(self._name, _SIZES), *self._implemented, *self._without_effect}
        return super().to_diff_dict() | {name: every[name] for name in sorted(published) if name in every}

    def _name(self, field: str) -> str:
        """What config.json calls a field."""
        return self.attribute_map.get(field, field) if self.model_type != "llada" else field

    def _size_faults(self) -> list[str]:
        faults = []
        for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "mlp_hidden_size", "vocab_size", "embedding_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                faults.append(f"{self._name(name)}: {value!r}; must be a whole number of at least 1")
        if faults:
            return list(dict.fromkeys(faults))
        heads, width = self._name("n_heads"), self._name("d_model")
        if self.d_model % self.n_heads or (self.d_model // self.n_heads) % 2:
            faults.append(f"{heads}: {self.n_heads}; {width} {self.d_model} must divide into heads of an even width")
        if self.n_heads % self.n_kv_heads:
            faults.append(f"{self._name('n_kv_heads')}: {self.n_kv_heads}; must divide {heads} {self.n_heads}")
        if self.embedding_size < self.vocab_size:
            faults.append(f"embedding_size: {self.embedding_size}; must be at least vocab_size {self.vocab_size}")
        return faults


_SIZES = (
    "d_model",
    "embedding_size",
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
    "vocab_size",
    "weight_tying",
)


def _unimplemented(choices: dict[str, Any], implemented: dict[str, tuple[Any, ...]]) -> list[str]:
    faults = []
    for name, allowed in implemented.items():
        if choices[name] in allowed:
            continue
        options = " or ".join(repr(option) for option in allowed)
        cure = "; write n_kv_heads: 1 instead" if name == "multi_query_attention" else ""
        faults.append(f"{name}: {choices[name]!r} is not implemented; this network has {options}{cure}")
    return faults


def _token_list(value: Any) -> list[int] | None:
    """Raises ValueError for what is no list of token ids."""
    if value is None or (isinstance(value, list) and all(type(token) is int and token >= 0 for token in value)):
        return value
    raise ValueError(f"tail_token_ids: {value!r}; must be a list of token ids")


def _unknown(fields: dict[str, Any]) -> list[str]:
    """Fields that are neither LLaDA's nor transformers' own; one that is off (None, False) asks for nothing."""
    return [
        f"{name}: {value!r}; unknown field, so not implemented; remove it if the weights do not depend on it"
        for name, value in fields.items()
        if value not in (None, False) and name not in _OF_TRANSFORMERS and not name.startswith("_")
    ]


class ILLaDAConfig(LLaDAConfig):
    """iLLaDA's config.json, whose fields are Llama's; the defaults are iLLaDA-8B's. LLaDA's names reach them too.

    Args:
        hidden_size: D. num_hidden_layers, num_attention_heads, num_key_value_heads, intermediate_size: as named.
        max_position_embeddings, rope_theta, rms_norm_eps: as named. tie_word_embeddings: the head is the embedding.
        rope_parameters: where transformers 5 writes `rope_theta`; only the plain kind.
        mask_token_id, eos_token_id, pad_token_id, bos_token_id, eot_token_id: as in `LLaDAConfig`.

    Raises:
        ValueError: as `LLaDAConfig`.
    """

    model_type = "illada"
    layout = ILLADA
    positions_from_edge = True
    _implemented = {  # noqa: RUF012 (as above)
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "attention_dropout": (0.0,),
        "init_fn": ("normal",),
        "layer_norm_eps": (None,),
        "mlp_bias": (False,),
        "resid_pdrop": (0.0,),
        "rope_full_precision": (False,),
        "use_cache": (False,),
    }
    _without_effect = {}  # noqa: RUF012
    attribute_map = {  # noqa: RUF012
        "d_model": "hidden_size",
        "embedding_size": "vocab_size",
        "init_std": "initializer_range",
        "max_sequence_length": "max_position_embeddings",
        "mlp_hidden_size": "intermediate_size",
        "n_heads": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "n_layers": "num_hidden_layers",
        "weight_tying": "tie_word_embeddings",
    }

    def __init__(
        self,
        vocab_size: int = 155136,
        hidden_size: int = 4096,
        intermediate_size: int = 14336,
        num_hidden_layers: int = 32,
        num_attention_heads: int = 32,
        num_key_value_heads: int = 8,
        max_position_embeddings: int = 8192,
        rope_theta: float = 500000.0,
        rms_norm_eps: float = 1e-6,
        tie_word_embeddings: bool = True,
        initializer_range: float = 0.02,
        rope_parameters: dict[str, Any] | None = None,
        head_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        rope_theta = _plain_rope(rope_parameters, rope_theta)
        if head_dim is not None and head_dim * num_attention_heads != hidden_size:
            raise ValueError(f"head_dim: {head_dim} is not implemented; must be hidden_size over num_attention_heads")
        super().__init__(
            d_model=hidden_size,
            n_layers=num_hidden_layers,
            n_heads=num_attention_heads,
            n_kv_heads=num_key_value_heads,
            mlp_hidden_size=intermediate_size,
            vocab_size=vocab_size,
            max_sequence_length=max_position_embeddings,
            rope_theta=rope_theta,
            rms_norm_eps=rms_norm_eps,
            weight_tying=tie_word_embeddings,
            init_std=initializer_range,
            init_fn="normal",
            **kwargs,
        )

    def to_dict(self) -> dict[str, Any]:
        """The published fields; LLaDA's own that have no counterpart there are left out."""
        own = ("init_fn", "mlp_ratio", "rope_full_precision", *(("eot_token_id",) if self.eot_token_id is None else ()))
        return {name: value for name, value in super().to_dict().items() if name not in own}


def _plain_rope(parameters: dict[str, Any] | None, theta: float) -> float:
    """rope_theta, wherever it stands.

    Raises:
        ValueError: RoPE of another kind than the plain one (scaled, partial).
    """
    if parameters is None:
        return theta
    others = {name: value for name, value in parameters.items() if name not in ("rope_theta", "rope_type")}
    if parameters.get("rope_type", "default") != "default" or others:
        raise ValueError(f"rope_parameters: {parameters!r} is not implemented; this network has the plain kind")
    return float(parameters.get("rope_theta", theta))


CONFIGS = {kind.model_type: kind for kind in (LLaDAConfig, ILLaDAConfig)}


def config_class(fields: Any) -> type[LLaDAConfig]:
    """The class for the content of a config.json; without `model_type` it is LLaDA's.

    Raises:
        ValueError: a model type that is not one of ours.
    """
    kind = fields.get("model_type", "llada") if isinstance(fields, dict) else None
    if kind not in CONFIGS:
        raise ValueError(f"model_type: {kind!r}; this network loads {' and '.join(map(repr, CONFIGS))}")
    return CONFIGS[kind]
