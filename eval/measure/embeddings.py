"""Sentence embeddings of answers and references, for the cosine and the original study's F1 at 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from common.files import read_json
from eval.metrics.scoring import AnswerVectors
from eval.metrics.statistics import Array

ROWS = 32  # texts per batch: fixed, so that no setting changes a digit
MAX_TOKENS = 512


def embed_answers(
    encoder: Path, decodings: Sequence[Sequence[str]], references: Sequence[str], others: dict[str, list[str]]
) -> AnswerVectors:
    """Embed everything that is compared with the references; every different text once.

    Args:
        encoder: a sentence-transformers folder that pools by the mean, or a plain BERT folder.
        decodings: the answers to all items, once per decoding.
        others: the floors' and the ceiling's texts, by name.
    """
    texts = sorted({text for group in (*decodings, references, *others.values()) for text in group})
    place = {text: index for index, text in enumerate(texts)}
    vectors = embed_texts(encoder, texts)

    def of(group: Sequence[str]) -> Array:
        return vectors[[place[text] for text in group]]

    return AnswerVectors(tuple(map(of, decodings)), of(references), {name: of(group) for name, group in others.items()})


def embed_texts(encoder: Path, texts: Sequence[str]) -> Array:
    """L2-normalised embeddings (n, D): the mean over each text's tokens, as the stage `embed` pools them.

    Read by transformers alone: importing sentence-transformers takes longer than embedding a test set. Texts are
    batched by length in an order that depends on the texts alone.

    Raises:
        InputError: the folder does not load as an encoder, or its configured pooling is not the mean.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = _checked(encoder)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _refused(encoder, " ".join(str(error).split())[:200]) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    positions = model.config.max_position_embeddings
    limit = min(_limit(encoder) or MAX_TOKENS, tokenizer.model_max_length, positions, MAX_TOKENS)
    ids = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    order = sorted(range(len(ids)), key=lambda row: (len(ids[row]), row))
    vectors: dict[int, Array] = {}
    for start in range(0, len(order), ROWS):
        rows = order[start : start + ROWS]
        width = len(ids[rows[-1]])
        mask = torch.tensor([[1] * len(ids[row]) + [0] * (width - len(ids[row])) for row in rows], device=device)
        padding = [tokenizer.pad_token_id or 0] * width
        padded = torch.tensor([[*ids[row], *padding][:width] for row in rows], device=device)  # (B, L)
        with torch.inference_mode():
            hidden = model(input_ids=padded, attention_mask=mask).last_hidden_state.double()  # (B, L, D)
        mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        mean = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        vectors.update(zip(rows, mean, strict=True))
    return np.stack([vectors[row] for row in range(len(ids))])


def _checked(encoder: Path) -> Path:
    """The folder of the transformer inside a sentence-transformers folder, or the folder itself."""
    modules = encoder / "modules.json"
    if not modules.is_file():
        return encoder
    folder = encoder
    for module in read_json(modules):
        kind, place = module["type"].rpartition(".")[2], encoder / module["path"]
        if kind == "Transformer":
            folder = place
        elif kind == "Pooling" and not _means(read_json(place / "config.json")):
            raise _refused(encoder, "its pooling is not the mean over the tokens, which is the one supported here")
        elif kind not in ("Transformer", "Pooling", "Normalize"):
            raise _refused(encoder, f"its module {kind} is not supported here")
    return folder


def _means(pooling: dict[str, Any]) -> bool:
    """Whether a Pooling module's configuration asks for the mean alone, in the old form or the new."""
    if "pooling_mode" in pooling:
        return pooling["pooling_mode"] == "mean"
    chosen = [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value]
    return chosen in ([], ["pooling_mode_mean_tokens"])


def _limit(encoder: Path) -> int | None:
    settings = encoder / "sentence_bert_config.json"
    return read_json(settings).get("max_seq_length") if settings.is_file() else None


def _refused(encoder: Path, reason: str) -> InputError:
    return InputError(f"data.encoder: {encoder}: does not load as a sentence encoder ({reason})")
