"""What a run's result depends on, hashed: the name of its scratch folder, so that a changed run never continues an old
one.
"""

from __future__ import annotations

import ast
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adapters.config import MethodConfig, ModelConfig
from common.files import sha256_of_file, sha256_of_json
from training.config import TrainConfig

CODE = (
    "common",
    "adapters",
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
# Settings that change how a run is watched or stored, not what comes out.
_WITHOUT_EFFECT = {"checkpoint_every", "keep_checkpoints", "trackers"}
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "bitsandbytes")


def run_settings(model: ModelConfig, train: TrainConfig, config: MethodConfig) -> dict[str, Any]:
    """The three sections as JSON, as they stand in run.json."""
    return {
        "model": model.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "method": config.model_dump(mode="json"),
    }


def fingerprint(method: str, settings: dict[str, Any], data: dict[str, str], base_sha256: str, seed: int) -> str:
    """Hash of method, settings, data, base, seed, library versions and the code that trains; 64 hexadecimal digits."""
    train = {key: value for key, value in settings["train"].items() if key not in _WITHOUT_EFFECT}
    return sha256_of_json(
        {
            "method": method,
            "settings": settings | {"train": train},
            "data": data,
            "base": base_sha256,
            "seed": seed,
            "versions": {name: version(name) for name in _PACKAGES},
            "code": code_hash(),
        }
    )


def data_hashes(formatted: Path) -> dict[str, str]:
    """sha256 of the splits that training reads."""
    return {name: sha256_of_file(formatted / f"{name}.parquet") for name in ("train", "validation")}


def code_hash(root: Path = REPOSITORY) -> str:
    """Hash of the syntax trees of the code that trains: comments and layout do not count."""
    digest = hashlib.sha256()
    for path in code_files(root):
        digest.update(f"{path.relative_to(root)}\n".encode())
        digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


def code_files(root: Path = REPOSITORY) -> list[Path]:
    """Every Python file that `CODE` names, in order."""
    places = [root / place for place in CODE]
    return sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*.py")))
