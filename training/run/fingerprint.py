"""What a run's result depends on, hashed: the name of its scratch folder, so that a changed run never continues an old
one.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adapters.config import MethodConfig, ModelConfig
from common.files import sha256_of_file, sha256_of_json
from training.config import TrainConfig

CODE = (
    "common",
    "adapters",
    "causal",
    "training",
    "llada/errors.py",
    "llada/network",
    "llada/diffusion",
    "pipeline/paths.py",
    "pipeline/provenance.py",
    "pipeline/stages/train.py",
)
"""Files and folders that a training runs: the code dependencies of the stage `train` in dvc.yaml."""
REPOSITORY = Path(__file__).resolve().parents[2]
WITHOUT_EFFECT = {
    "train": {"checkpoint_every", "keep_checkpoints", "log_every", "micro_batch_size", "trackers", "validate_every"},
    "model": {"activation_checkpointing"},
}
"""Settings that change how a run is cut up, watched or stored, not what is learnt (see `deciding`)."""
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "bitsandbytes")


def run_settings(model: ModelConfig, train: TrainConfig, config: MethodConfig) -> dict[str, Any]:
    """The three sections as JSON, as they stand in run.json."""
    return {
        "model": model.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "method": config.model_dump(mode="json"),
    }


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without those that change nothing, so that an unfinished run can be continued with others.

    Activation checkpointing, logging and saving are exact; the micro-batch is so up to rounding, but for dropout, which
    is drawn by micro-batch. The interval of validations decides only among which steps the best one is looked for,
    unless noise levels follow what they measure, or training ends by it. What an adapter starts from counts by its
    hash, not by its name.
    """
    free = {section: set(keys) for section, keys in WITHOUT_EFFECT.items()}
    free["train"].add("init_from")
    if settings["method"]["dropout"] > 0:
        free["train"].remove("micro_batch_size")
    if settings["train"].get("levels") == "importance" or settings["train"].get("early_stopping") is not None:
        free["train"].remove("validate_every")
    return {
        section: {key: value for key, value in values.items() if key not in free.get(section, ())}
        for section, values in settings.items()
    }


def ingredients(
    method: str, settings: dict[str, Any], data: dict[str, str], base_sha256: str, init_sha256: str | None, seed: int
) -> dict[str, Any]:
    """All that a run's result depends on: method, settings, data, base, start, seed, library versions and code."""
    return {
        "method": method,
        "settings": deciding(settings),
        "data": data,
        "base": base_sha256,
        "init_from": init_sha256,
        "seed": seed,
        "versions": {name: _version(name) for name in _PACKAGES},
        "code": code_hash(),
    }


def _version(package: str) -> str | None:
    """None where it is not installed: bitsandbytes is needed by some settings alone."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def fingerprint(parts: dict[str, Any]) -> str:
    """Hash of `ingredients`, 64 hexadecimal digits."""
    return sha256_of_json(parts)


def data_hashes(formatted: Path) -> dict[str, str]:
    """sha256 of the splits that training reads."""
    return {name: sha256_of_file(formatted / f"{name}.parquet") for name in ("train", "validation")}


def code_hash(root: Path = REPOSITORY) -> str:
    """Hash of the syntax trees of the code that trains: comments and layout do not count."""
    digest = hashlib.sha256()
    for path in code_files(root):
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(_syntax_hash(path.read_text(encoding="utf-8")))
    return digest.hexdigest()


@cache  # a second for all of the code, which a process may ask for at every adapter
def _syntax_hash(source: str) -> bytes:
    return hashlib.sha256(ast.dump(ast.parse(source)).encode()).digest()


def code_files(root: Path = REPOSITORY) -> list[Path]:
    """Every Python file that `CODE` names, in order."""
    places = [root / place for place in CODE]
    return sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*.py")))
