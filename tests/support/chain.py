"""Artefacts that a test made by hand, with the facts that the data stages would have written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import seals
from common.files import write_json
from pipeline.paths import Paths, facts_of_data_stages


def write_inputs(root: Path, inputs: dict[str, Any]) -> None:
    """`inputs.json` with a seal of itself, and behind it those of the stages up to `format`, with next to nothing."""
    means = {"tokens": {"mean": 40.0}, "answer_tokens": {"mean": 20.0}}
    contents = {"inputs": inputs, "format": {"splits": {"train": means}}}
    for stage, path in facts_of_data_stages(Paths.of("mini", root)).items():
        write_json(path, seals.sealed(path, contents.get(stage, {}), read=(), wrote=()))
