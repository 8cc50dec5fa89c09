"""Section "Evidence": what the report was made from, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.formatting import flatten
from eval.report.load import System

ELSEWHERE = ("versions", "command", "settings")  # have a place of their own on the page


@dataclass(frozen=True)
class EvidenceSection:
    """adapters: sha256 of the weights of every training, by title."""

    command: str
    provenance: list[tuple[str, str]]
    versions: dict[str, str]
    adapters: dict[str, str]
    signatures: dict[str, str]
    settings: dict[str, Any]


def build(systems: Sequence[System], provenance: Mapping[str, Any]) -> EvidenceSection:
    trainings = [training for system in systems for training in system.trainings.values()]
    return EvidenceSection(
        command=provenance.get("command", ""),
        provenance=flatten({key: value for key, value in provenance.items() if key not in ELSEWHERE}),
        versions=provenance.get("versions", {}),
        adapters={one.title: one.adapter_sha256 for one in trainings if one.adapter_sha256},
        signatures=systems[0].metrics["signatures"],
        settings=systems[0].metrics["settings"],
    )
