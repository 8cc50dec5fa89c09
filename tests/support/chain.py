"""Artefacts that a test made by hand, with the facts that the stage `inputs` would have written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import seals
from common.files import write_json


def write_inputs(root: Path, inputs: dict[str, Any]) -> None:
    """`inputs.json` with a seal of itself."""
    path = root / "inputs.json"
    write_json(path, seals.sealed(path, inputs, read=(), wrote=()))
