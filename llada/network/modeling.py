"""LLaDA as a native transformers model: Llama's decoder without the causal mask, under the published key names.

Sources: "Large Language Diffusion Models" (Nie et al., 2025, arXiv 2502.09992), its successor iLLaDA ("Improved Large
Language Diffusion Models", Nie et al., 2026, arXiv 2606.25331) and their published checkpoints. One network runs both;
they differ in configuration and in the names of the modules (`layout`).
Numerics follow the published models: RMSNorm upcasts, casts back and then multiplies by its weight; RoPE rotates
halves, LLaDA's in float32, iLLaDA's in the activations' dtype; attention is bidirectional and runs in the dtype of the
weights.

float16 ends at 65,504, which bfloat16's activations pass. On float16 weights the residual stream is therefore float32,
so is the product within the MLP, and what enters a projection back to the stream is scaled by a power of two
(`within_float16`). Scores and softmax of attention are float32 in every kernel of scaled_dot_product_attention.

    model = LLaDAModelLM.from_pretrained(folder, dtype=torch.bfloat16)        # of either, by config.json
    logits = model(input_ids, attention_mask).logits          # (B, L, V)

Padding. `attention_mask` is (B, L), nonzero where a token is real, in any dtype, padding on either side. Pass None
when nothing is padded: then no mask tensor exists and scaled_dot_product_attention takes its fastest kernel. On CUDA
the forward never looks at the mask's values, because that would stall the device; an all-ones mask is therefore kept
there (same result up to rounding, slower kernel). On the CPU, where looking is free, it is dropped, so the result is
bit for bit that of None.

Positions count from each row's first real token, iLLaDA's from the left edge, as published. RoPE is relative, so both
are equal in exact arithmetic; in floating point the first gives a left-padded row the very angles it has alone.

Shapes: B rows, L positions, D width, H heads, V vocabulary.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import MaskedLMOutput

from llada.errors import CheckpointError
from llada.network import kernels
from llada.network.cache import KeyValueCache
from llada.network.checkpoint import (
    check_folder,
    check_loading,
    keep_nf4_differentiable,
    read_config,
)
from llada.network.configuration import ILLaDAConfig, LLaDAConfig, config_class
from llada.network.float16 import within_float16
from llada.network.kernels import block_on_cpu, on_cpu
from llada.network.layout import at, place
from llada.network.positions import first_position, key_mask, positions_from, rotary_table, rotate
from llada.network.published import is_folder_name
from llada.network.token_ids import settle_token_ids

_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")

__all__ = ["ILLaDAConfig", "ILLaDAForCausalLM", "LLaDAConfig", "LLaDAModelLM"]


class LLaDARMSNorm(nn.Module):
    """x / rms(x), computed in float32 at least and cast back, then times the weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if not self.weight.requires_grad and kernels.usable(x):
            return kernels.rms_norm(x, self.weight, self.eps)
        if x.requires_grad and not self.weight.requires_grad and on_cpu.usable(x):
            return on_cpu.rms_norm(x, self.weight, self.eps)
        # Without its weight argument the function upcasts and casts back, and keeps only x and 1/rms for backward: one
        # kernel on a GPU, where autocast would hand it a float32 copy of x. The CPU's autocast may widen the result,
        # and float16 weights come with a float32 x, hence the cast.
        with torch.autocast("cuda", enabled=False):
            return self.weight * F.rms_norm(x, (x.shape[-1],), eps=self.eps).to(self.weight.dtype)


class LLaDABlock(nn.Module):
    """Attention and gated MLP, each behind a norm and with a residual connection."""

    def __init__(self, config: LLaDAConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        kv_width = config.n_kv_heads * config.head_dim
        width, inner = config.d_model, config.mlp_hidden_size
        shapes = {  # in and out
            "q_proj": (width, width),
            "k_proj": (width, kv_width),
            "v_proj": (width, kv_width),
            "attn_out": (width, width),
            "ff_proj": (width, inner),
            "up_proj": (width, inner),
            "ff_out": (inner, width),
        }
        self._paths = dict(config.layout.parts)
        for name, path in self._paths.items():
            norm = name.endswith("_norm")
            place(
                self, path, LLaDARMSNorm(width, config.rms_norm_eps) if norm else nn.Linear(*shapes[name], bias=False)
            )
        for end_of_branch in (self.part("attn_out"), self.part("ff_out")):
            end_of_branch.depth = layer  # read by LLaDAModelLM._init_weights

    def part(self, name: str) -> Any:
        """The module of this name, wherever the checkpoint's layout keeps it."""
        return at(self, self._paths[name])

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        cache_start: int = 0,
        keep: slice | Tensor | None = None,
    ) -> Tensor:
        """x (B, L, D); cos, sin (1 or B, 1, L, D_head); mask (B, 1, 1, keys) bool, True where a key is seen.

        With `keep` the result is that of these positions alone: (B, K, D) of a slice, for which the others are only
        keys and values, or (M, D) of places (M,), row * L + position, for which they ask as well but go no further.
        """
        whole = self.whole(x, cos, sin, mask, keep) if cache is None and block_on_cpu.fits(self, x, cos) else None
        if whole is not None:
            return whole
        normed = self.part("attn_norm")(x)
        asking_cos, asking_sin = cos, sin
        if isinstance(keep, slice):
            x, asking_cos, asking_sin = x[:, keep], cos[:, :, keep], sin[:, :, keep]
            query = self.part("q_proj")(normed[:, keep])
            key, value = self.project(("k_proj", "v_proj"), normed)
        else:
            query, key, value = self.project(("q_proj", "k_proj", "v_proj"), normed)
        query = rotate(self._split(query, self.n_heads), asking_cos, asking_sin)
        key = rotate(self._split(key, self.n_kv_heads), cos, sin)
        value = self._split(value.contiguous(), self.n_kv_heads)  # kept, and not the product that it is a part of
        if cache is not None:
            key, value = cache.update(self.layer, key, value, cache_start)
        if self.n_kv_heads != self.n_heads:  # repeated, as published: every kernel takes it, enable_gqa only some
            groups = self.n_heads // self.n_kv_heads
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (B, H, L, D_head)
        attended = attended.transpose(1, 2).flatten(2)
        if isinstance(keep, Tensor):
            x, attended = x.flatten(0, 1).index_select(0, keep), attended.flatten(0, 1).index_select(0, keep)
        if x.dtype == normed.dtype:
            x = x + self.part("attn_out")(attended)
            normed = self.part("ff_norm")(x)
            gate, up = self.project(("ff_proj", "up_proj"), normed)
            return x + self.part("ff_out")(F.silu(gate) * up)
        x = x + within_float16(self.part("attn_out"), attended)  # float16 weights, float32 stream
        normed = self.part("ff_norm")(x)
        gate, up = self.project(("ff_proj", "up_proj"), normed)
        return x + within_float16(self.part("ff_out"), F.silu(gate.float()) * up.float())

    def project(self, names: tuple[str, ...], x: Tensor) -> tuple[Tensor, ...]:
        """Several projections of one input, in the order of `names`; `adapters.forward` makes one product of them."""
        return tuple(self.part(name)(x) for name in names)

    def whole(self, *asked: Any) -> Tensor | None:
        """The forward pass as one function, see `block_on_cpu.forward`; None where gradients are wanted, which
        `adapters.forward` has, or a part is not as it was made or heard by others.
        """
        parts, kinds = [self.part(name) for name in self._paths], (nn.Linear, LLaDARMSNorm)
        plain = all(type(part) in kinds and not (part._forward_hooks or part._forward_pre_hooks) for part in parts)
        takes = plain and not torch.is_grad_enabled()
        return block_on_cpu.forward(block_on_cpu.BlockWeights.of(self), *asked)[0] if takes else None

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(-1, (heads, self.head_dim)).transpose(1, 2)  # (B, L, H * D_head) -> (B, H, L, D_head)


class LLaDAModel(nn.Module):
    """Embedding, blocks and final norm, under the published paths."""

    transformer: Any  # in LLaDA's layout alone

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        layout = config.layout
        self._paths = [path.removeprefix("model.") for path in (layout.embedding, layout.blocks, layout.norm)]
        place(self, self._paths[0], nn.Embedding(config.embedding_size, config.d_model))
        place(self, self._paths[1], nn.ModuleList(LLaDABlock(config, layer) for layer in range(config.n_layers)))
        place(self, self._paths[2], LLaDARMSNorm(config.d_model, config.rms_norm_eps))

    @property
    def embedding(self) -> nn.Module:
        return at(self, self._paths[0])

    @property
    def blocks(self) -> nn.ModuleList:
        return at(self, self._paths[1])

    @property
    def final_norm(self) -> Any:
        return at(self, self._paths[2])

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: KeyValueCache | None = None,
        cache_start: int = 0,
        hidden_states: list[Tensor] | None = None,
        keep: slice | Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the final norm, (B, L, D), or (B, K, D) or (M, D) of those to `keep`, which is all
        that the last block then computes. `hidden_states` collects embeddings and block outputs.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("pass input_ids or inputs_embeds, one of them")
        x = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds  # (B, L, D)
        total = cache.length if cache is not None else x.shape[1]
        mask = key_mask(attention_mask, x, total)
        if position_ids is None:
            start = None if mask is None else first_position(mask, self.config)
            position_ids = positions_from(start, total, x.device)[:, cache_start : cache_start + x.shape[1]]
        cos, sin = rotary_table(position_ids, self.config, x.dtype)
        x = x.float() if x.dtype == torch.float16 else x
        mask = None if mask is None else mask[:, None, None, :]
        recompute = self.gradient_checkpointing and torch.is_grad_enabled() and cache is None
        last = len(self.blocks) - 1
        for layer, block in enumerate(self.blocks):
            wanted = keep if layer == last else None
            if hidden_states is not None:
                hidden_states.append(x)
            if recompute:
                # Non-reentrant always: the reentrant form returns no gradient when only adapters inside need one.
                x = checkpoint(block, x, cos, sin, mask, keep=wanted, use_reentrant=False)
            else:
                x = block(x, cos, sin, mask, cache, cache_start, wanted)
        x = self.final_norm(x)
        if hidden_states is not None:
            hidden_states.append(x)
        return x


class LLaDAModelLM(PreTrainedModel):
    """The mask predictor of LLaDA: logits for every position given a partly masked sequence, without shift."""

    config_class = LLaDAConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LLaDABlock"]  # noqa: RUF012 (transformers reads plain class attributes)
    _supports_sdpa = True

    def __init__(self, config: LLaDAConfig) -> None:
        super().__init__(config)
        self.model = LLaDAModel(config)
        layout = config.layout
        place(self, layout.head, nn.Linear(config.d_model, config.embedding_size, bias=False))
        self._tied_weights_keys = {f"{layout.head}.weight": f"{layout.embedding}.weight"}  # of any class, by its config
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: None = None,
        output_attentions: None = None,
        cache: KeyValueCache | None = None,
        cache_start: int = 0,
    ) -> MaskedLMOutput | tuple[Tensor, ...]:
        """Logits (B, L, V) in the dtype of the weights, at the positions of `input_ids`.

        Args:
            input_ids: (B, L) int64; or `inputs_embeds`, (B, L, D).
            attention_mask: (B, L), nonzero where real, any dtype; None when nothing is padded (see the module's
                docstring). With a cache it spans the cached sequence, not the slice.
            position_ids: (B or 1, L), in place of the default positions.
            output_hidden_states: also return the embeddings and every block's output, the last after the final norm.
            labels, output_attentions: peft's wrapper of the task type CAUSAL_LM passes them; they must be None.
            cache, cache_start: `input_ids` is the slice that begins at `cache_start` of a cached sequence, see
                `KeyValueCache`.
        """
        if labels is not None or output_attentions:
            raise ValueError("no labels and no attentions here: the loss is llada.diffusion.loss.masked_diffusion_loss")
        collect = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        states: list[Tensor] | None = [] if collect else None
        x = self.model(input_ids, attention_mask, position_ids, inputs_embeds, cache, cache_start, states)
        output = MaskedLMOutput(logits=self.head(x), hidden_states=None if states is None else tuple(states))  # type: ignore[arg-type]
        return output.to_tuple() if return_dict is False else output

    def hidden(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KeyValueCache | None = None,
        cache_start: int = 0,
        keep: slice | Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the final norm, (B, L, D): the forward pass without the head.

        Where only some positions are wanted, `keep` spares the last block the work on the others: (B, K, D) of a slice
        of every row, (M, D) of places, see `hidden_at`.
        """
        return self.model(input_ids, attention_mask, position_ids, None, cache, cache_start, None, keep)

    def hidden_at(self, input_ids: Tensor, attention_mask: Tensor | None, row: Tensor, column: Tensor) -> Tensor:
        """Hidden states after the final norm of the positions (row, column), (M,) int64 each and no two the same:
        (M, D). Where the indices lie on the CPU no device is waited for.

        The last block computes keys, values and queries of all positions, and everything behind its attention for
        these alone. Without any position the whole pass is run, so that every process and every weight takes part.
        """
        if not len(row):
            return self.hidden(input_ids, attention_mask)[:0].flatten(0, 1)
        places = (row * input_ids.shape[1] + column).to(self.device, non_blocking=True)
        return self.hidden(input_ids, attention_mask, keep=places)

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return self.get_output_embeddings()(hidden)

    @classmethod
    def can_generate(cls) -> bool:
        """No: the method below is there for peft alone."""
        return False

    def prepare_inputs_for_generation(self, input_ids: Tensor, **_: Any) -> dict[str, Any]:
        """peft asks for this method by the task type CAUSAL_LM; token by token this network cannot generate.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "LLaDA does not write token by token from left to right; use llada.generate (docs/sampling.md) instead of "
            "generate() of transformers"
        )

    def compile_blocks(self, **options: Any) -> None:
        """torch.compile every block in place (names and checkpoints stay); `options` go to torch.compile.

        The blocks share their code, so they share their graphs, and batch and length are symbolic: one graph for all
        shapes, and one more for each of an attention mask, gradients, positions to keep, one row or one position.
        """
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, 32)  # of all these together; 8 is what PyTorch allows
        for block in self.model.blocks:
            block.compile(**({"dynamic": True} | options))

    def get_input_embeddings(self) -> nn.Module:
        return at(self, self.config.layout.embedding)

    def set_input_embeddings(self, value: nn.Module) -> None:
        place(self, self.config.layout.embedding, value)

    def get_output_embeddings(self) -> nn.Module:
        return at(self, self.config.layout.head)

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        place(self, self.config.layout.head, new_embeddings)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, for safetensors alone (one file or shards), and strict: what is wrong is an error.

        The network is of the class that the checkpoint's `model_type` names. Keyword arguments that name fields of the
        configuration override it.

        Raises:
            CheckpointError: no weights, only pickled ones, a damaged shard, a missing, superfluous or misshapen
                tensor, a config that this network does not implement, or token ids that are not known (`token_ids`).
        """
        wants_info = kwargs.pop("output_loading_info", False)
        name, config = str(pretrained_model_name_or_path), kwargs.pop("config", None)
        folder = Path(name, kwargs.get("subfolder", "")) if is_folder_name(name) else None
        if not isinstance(config, LLaDAConfig):
            hub = {key: kwargs[key] for key in _HUB_ARGUMENTS if key in kwargs}  # the configuration keeps them
            kind: Any = type(read_config(folder)) if folder is not None else _published_class(config or name, hub)
            found = kind.from_pretrained(config or name, return_unused_kwargs=True, **kwargs)
            config, kwargs = found[0], found[1] | hub
        if folder is not None and kwargs.get("variant") is None:
            check_folder(folder, config)
        settle_token_ids(config, folder)
        kwargs |= {"use_safetensors": True, "config": config, "output_loading_info": True}
        loaded: Any = super(LLaDAModelLM, _class_for(config)).from_pretrained(
            pretrained_model_name_or_path, *args, **kwargs
        )
        model, info = loaded
        check_loading(name, info)
        _check_tie(name, model)
        keep_nf4_differentiable(model)
        return (model, info) if wants_info else model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Fresh weights: "normal" has one deviation; "mitchell" 1/sqrt(fan in), less with depth where a branch ends."""
        if isinstance(module, LLaDARMSNorm):
            init.ones_(module.weight)
        elif isinstance(module, nn.Linear | nn.Embedding) and self.config.init_fn == "normal":
            init.normal_(module.weight, mean=0.0, std=self.config.init_std)
        elif isinstance(module, nn.Linear | nn.Embedding):
            depth = getattr(module, "depth", None)
            std = 1 / math.sqrt(module.weight.shape[-1] * (1 if depth is None else 2 * (depth + 1)))
            init.trunc_normal_(module.weight, mean=0.0, std=std, a=-3 * std, b=3 * std)


class ILLaDAForCausalLM(LLaDAModelLM):
    """The same network as iLLaDA publishes it: its class name in config.json, its configuration, its module names."""

    config_class = ILLaDAConfig


def _check_tie(source: str, model: LLaDAModelLM) -> None:
    """Raises CheckpointError where the head that was stored is not the embedding's matrix and the config says it is:
    transformers would part them with a warning, and whoever trusts the config would run another network.
    """
    if model.config.weight_tying and model.get_output_embeddings().weight is not model.get_input_embeddings().weight:
        key = "weight_tying" if model.config.model_type == "llada" else "tie_word_embeddings"
        raise CheckpointError(
            f"{source}: {key}: true in config.json, but {model.config.layout.head}.weight differs from the embedding; "
            f"set {key}: false"
        )


def _published_class(name: Any, hub: dict[str, Any]) -> type[LLaDAConfig]:
    """The class for the config.json of a hub repository (or of a path that was given for it)."""
    fields, _ = LLaDAConfig.get_config_dict(name, **hub)
    try:
        return config_class(fields)
    except ValueError as error:
        raise CheckpointError(f"{name}: {error}") from None


def _class_for(config: LLaDAConfig) -> type[LLaDAModelLM]:
    return ILLaDAForCausalLM if isinstance(config, ILLaDAConfig) else LLaDAModelLM


def network_of(config: LLaDAConfig) -> LLaDAModelLM:
    """A network of this configuration with fresh weights."""
    return _class_for(config)(config)
