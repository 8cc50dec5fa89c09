"""The published bases that this network runs: repositories, and the token ids that their cards and code name. And
which names can be a repository's at all.

A base's own files come first (`token_ids`); the table stands in where they are silent, for exactly these vocabularies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TOKEN_ID_KEYS = ("mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id")


@dataclass(frozen=True)
class Published:
    """Bases with one config.json. vocabulary: rows of the embedding."""

    title: str
    model_type: str
    vocabulary: int
    repositories: tuple[str, ...]
    token_ids: dict[str, int]


PUBLISHED = (
    Published(
        title="LLaDA",
        model_type="llada",
        vocabulary=126464,
        repositories=("GSAI-ML/LLaDA-8B-Base", "GSAI-ML/LLaDA-8B-Instruct", "GSAI-ML/LLaDA-1.5"),
        token_ids={"mask_token_id": 126336, "eos_token_id": 126081, "pad_token_id": 126081, "bos_token_id": 126080},
    ),
    Published(
        title="iLLaDA",
        model_type="illada",
        vocabulary=155136,
        repositories=("GSAI-ML/iLLaDA-8B-Base", "GSAI-ML/iLLaDA-8B-Instruct"),
        token_ids={"mask_token_id": 5, "eos_token_id": 2, "pad_token_id": 1, "bos_token_id": 0},
    ),
)


def known_token_ids(model_type: str, vocabulary: int) -> dict[str, int]:
    """The token ids of the published base with this model type and vocabulary; empty for any other."""
    for base in PUBLISHED:
        if (base.model_type, base.vocabulary) == (model_type, vocabulary):
            return base.token_ids
    return {}


def title_of(model_type: str) -> str:
    """What the base's authors call this kind of network."""
    return next((base.title for base in PUBLISHED if base.model_type == model_type), model_type)


def is_folder_name(name: str) -> bool:
    """Is it a folder, or can it be nothing else (a hub id has one slash at most and is relative)?"""
    return Path(name).is_dir() or Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1
