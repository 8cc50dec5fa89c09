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
from common.files import read_json, sha256_of_file, sha256_of_json
from training.config import TrainConfig

# Settings that change how a run is watched or stored, not what comes out.
_WITHOUT_EFFECT = {"checkpoint_every", "keep_checkpoints", "trackers"}
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "numpy", "bitsandbytes")
_ROOT = Path(__file__).resolve().parent.parent
_CODE = ("adapters/*.py", "llada/network/modeling.py", "llada/diffusion/loss.py", "llada/network/configuration.py")


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


def is_finished(
    folder: Path,
    method: str,
    config: MethodConfig,
    seed: int,
    *,
    model: ModelConfig,
    train: TrainConfig,
    formatted: Path,
    base_sha256: str,
    **_: Any,
) -> bool:
    """Whether an adapter folder holds the result of exactly this run; takes the arguments of `training.trainer.train`,
    of which where things lie does not count.
    """
    if not (folder / "run.json").is_file():
        return False
    facts = read_json(folder / "run.json")
    return (
        facts["method"] == method
        and facts["seed"] == seed
        and facts["settings"] == run_settings(model, train, config)
        and facts["data"]["sha256"] == data_hashes(formatted)
        and facts["base"]["sha256"] == base_sha256
    )


def data_hashes(formatted: Path) -> dict[str, str]:
    """sha256 of the splits that training reads."""
    return {name: sha256_of_file(formatted / f"{name}.parquet") for name in ("train", "validation")}


def code_hash() -> str:
    """Hash of the syntax trees of the code that trains: comments and layout do not count."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _CODE for path in _ROOT.glob(pattern)):
        digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()
