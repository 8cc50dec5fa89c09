"""Sentence vectors: a BERT-like network's last hidden states over a text's tokens, pooled and made length 1.

    check_encoder(folder)                                 # nothing is loaded
    encoder = load_encoder(folder, "cpu", torch.float32)
    vectors = encoder.encode(encoder.tokenizer([encoder.prefix + text])["input_ids"], torch.float32)

Read by transformers alone: importing sentence-transformers takes longer than embedding a test set. A folder is a plain
transformers folder, pooled by the mean, or one in the layout of sentence-transformers whose modules are a transformer,
pooling (by the mean or by the first token) and perhaps a normalisation; one that makes its vectors in another way is
refused before anything is loaded. What the folder wants before every text (E5's "query: ") is read from it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.errors import InputError, raise_if_unreadable
from common.files import model_files, read_json

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

MAX_TOKENS = 512
"""Longer texts are truncated, whatever the encoder could read."""
SUPPORTED = "supported are a transformer, pooling by the mean over the tokens or by the first one, and Normalize"
Pooling = Literal["mean", "cls"]
E5_PREFIX = "query: "
"""What E5 wants before a text that is compared with its like (Wang et al. 2022, arXiv 2212.03533)."""
_E5 = re.compile(r"(^|[/_-])e5-(small|base|large)(-v2)?$")
_MODES: dict[str, Pooling] = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}


def check_encoder(folder: Path) -> None:
    """Read what a sentence-transformers folder says of itself; a folder without `modules.json` is pooled by the mean.

    Raises:
        InputError: it has other modules than a transformer, pooling by mean or first token, and Normalize; the file is
            named.
    """
    _layout(folder)


def load_encoder(folder: Path, device: str | torch.device, dtype: torch.dtype) -> SentenceEncoder:
    """The folder's tokenizer and network, in eval mode.

    Raises:
        InputError: as `check_encoder`; the folder does not load, or lacks weights of its network. Of pickled weights
            only tensors are read; one that holds anything else is refused, and runs nothing.
    """
    from pickle import UnpicklingError

    from transformers import AutoModel, AutoTokenizer

    layout = _layout(folder)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(layout.transformer, local_files_only=True)
        loaded: Any = AutoModel.from_pretrained(
            layout.transformer, local_files_only=True, dtype=dtype, output_loading_info=True
        )
    except (EOFError, AttributeError, IndexError, TypeError, UnpicklingError) as error:
        pickled = sorted(path.name for path in layout.transformer.glob("*.bin"))
        if not pickled:
            raise
        raise InputError(  # torch reads tensors from a pickle, and stops in one of these ways at anything else
            f"data.encoder: {folder}: {pickled[0][:80]}: a pickle that is damaged or holds more than tensors, and "
            "could run code: nothing was loaded; take a checkpoint with safetensors"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        for path in model_files(folder):
            raise_if_unreadable(path, error)
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"data.encoder: {folder}: does not load as a sentence encoder ({reason})") from error
    network, loading = loaded
    _refuse_random_weights(folder, loading)
    positions = getattr(network.config, "max_position_embeddings", MAX_TOKENS)
    limit = min(layout.max_tokens or MAX_TOKENS, tokenizer.model_max_length, positions, MAX_TOKENS)
    return SentenceEncoder(tokenizer, network.to(device).eval(), limit, layout.pooling, layout.prefix)


def _refuse_random_weights(folder: Path, loading: Any) -> None:
    """What a checkpoint lacks transformers draws at random, with a warning; the pooler alone is not used here."""
    report = loading if isinstance(loading, dict) else vars(loading)
    missing = sorted(str(key) for key in report.get("missing_keys") or () if not str(key).startswith("pooler."))
    if missing:
        raise InputError(
            f"data.encoder: {folder}: {len(missing)} weights are not in its files ({missing[0][:80]} and others), and "
            "would be random; take a checkpoint of the network that its config.json names"
        )


@dataclass(frozen=True)
class SentenceEncoder:
    """limit: tokens that a text may have, special tokens included. prefix: what stands before every text."""

    tokenizer: Any
    network: Any
    limit: int
    pooling: Pooling = "mean"
    prefix: str = ""

    @property
    def how(self) -> str:
        """How its vectors are made, in words."""
        pooled = "mean over the attention mask" if self.pooling == "mean" else "first token"
        return f"{pooled}, then L2 norm 1{f', each text after {self.prefix!r}' if self.prefix else ''}"

    def encode(self, ids: Sequence[Sequence[int]], dtype: torch.dtype) -> np.ndarray:
        """The vectors of a batch of token ids, (B, D) in `dtype`: in float64 pooled with its precision too.

        Raises:
            InputError: the encoder gives no finite numbers.
        """
        import torch

        width, pad = max(map(len, ids)), self.tokenizer.pad_token_id or 0
        padded = torch.full((len(ids), width), pad, dtype=torch.long)  # (B, L)
        mask = torch.zeros_like(padded)
        for row, values in enumerate(ids):
            padded[row, : len(values)] = torch.tensor(values)
            mask[row, : len(values)] = 1
        padded, mask = padded.to(self.network.device), mask.to(self.network.device)
        with torch.inference_mode():
            hidden = self.network(input_ids=padded, attention_mask=mask).last_hidden_state  # (B, L, D)
            if dtype == torch.float64:
                hidden = hidden.double()
            pooled = (masked_mean(hidden, mask) if self.pooling == "mean" else hidden[:, 0]).to(dtype)  # (B, D)
            if not bool(pooled.isfinite().all()):
                raise InputError("data.encoder: it gives vectors that are not finite; check its weights")
            return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of `hidden` (B, L, D) where `mask` (B, L) is 1: (B, D) in its dtype, summed in float32 at least."""
    import torch

    wide = torch.promote_types(hidden.dtype, torch.float32)
    weights = mask[..., None].to(hidden.dtype)  # (B, L, 1)
    count = weights.sum(dim=1, dtype=wide).clamp(min=1)
    return ((hidden * weights).sum(dim=1, dtype=wide) / count).to(hidden.dtype)


@dataclass(frozen=True)
class _Layout:
    """Where the transformer lies, how many tokens the folder says it reads (None: nothing is said), how it pools, and
    what it wants before a text.
    """

    transformer: Path
    max_tokens: int | None
    pooling: Pooling
    prefix: str


def _layout(folder: Path) -> _Layout:
    listed = folder / "modules.json"
    if not listed.is_file():
        return _Layout(folder, _max_tokens(folder), "mean", _prefix(folder, folder))
    places: dict[str, Path] = {}
    for kind, place in _modules(listed):
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise InputError(f"data.encoder: {listed}: the module {kind} is not supported; {SUPPORTED}")
        if kind in places:
            raise InputError(f"data.encoder: {listed}: the module {kind} occurs twice; {SUPPORTED}")
        places[kind] = place
    for kind in ("Transformer", "Pooling"):
        if kind not in places:
            raise InputError(f"data.encoder: {listed}: has no module {kind}; {SUPPORTED}")
    transformer = places["Transformer"]
    prefix = _prefix(folder, transformer)
    pooling = _pooling(places["Pooling"] / "config.json", prefix)
    return _Layout(transformer, _max_tokens(transformer), pooling, prefix)


def _modules(listed: Path) -> list[tuple[str, Path]]:
    """(last part of the class's name, folder) of each module."""
    try:
        return [(entry["type"].rpartition(".")[2], listed.parent / entry["path"]) for entry in read_json(listed)]
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"data.encoder: {listed}: not a list of modules with `type` and `path`") from None


def _pooling(path: Path, prefix: str) -> Pooling:
    """A Pooling module names its modes under `pooling_mode` or, in older folders, by one switch for each mode."""
    config = _object(path)
    if "pooling_mode" in config:
        named = config["pooling_mode"]
        modes = [named] if isinstance(named, str) else named
        if not isinstance(modes, list) or not all(isinstance(mode, str) for mode in modes):
            raise InputError(f"data.encoder: {path}: pooling_mode: not a name or a list of names")
    else:
        modes = [
            key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on
        ]
    if len(modes) > 1 or (modes and modes[0] not in _MODES):
        raise InputError(f"data.encoder: {path}: pooling by {' and '.join(modes)} is not supported; {SUPPORTED}")
    if prefix and config.get("include_prompt") is False:
        raise InputError(f"data.encoder: {path}: include_prompt: false is not supported; {SUPPORTED}")
    return _MODES[modes[0]] if modes else "mean"


def _prefix(folder: Path, transformer: Path) -> str:
    """The folder's default prompt; else its prompt for a query; else, of an E5 by its name in config.json, E5's own."""
    path = folder / "config_sentence_transformers.json"
    said = _object(path) if path.is_file() else {}
    prompts = said.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise InputError(f"data.encoder: {path}: prompts: not texts by name")
    default = said.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise InputError(f"data.encoder: {path}: default_prompt_name: {default!r} is not among prompts")
    if prompts:
        return prompts[default] if default is not None else prompts.get("query", "")
    config = transformer / "config.json"
    name = _object(config).get("_name_or_path") if config.is_file() else None
    return E5_PREFIX if isinstance(name, str) and _E5.search(name) else ""


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"data.encoder: {path}: not a JSON object")
    return content


def _max_tokens(transformer: Path) -> int | None:
    path = transformer / "sentence_bert_config.json"
    if not path.is_file():
        return None
    limit = _object(path).get("max_seq_length")
    if limit is not None and not (isinstance(limit, int) and limit > 0):
        raise InputError(f"data.encoder: {path}: max_seq_length: {limit!r}: not a number of tokens")
    return limit
